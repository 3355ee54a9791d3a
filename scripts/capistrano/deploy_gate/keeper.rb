# frozen_string_literal: true

# Keeps a window alive beside the deploy, and says when it is lost.
#
# By an event stream: the service renews for as long as it stands, so the history is not filled with renewals, and a window
# that is forced open is heard of at once and not at the next one. Where the stream breaks, or a proxy on the way keeps it
# back, by a request every third of the TTL, which gets through wherever the close did.

require "json"
require "time"

module DeployGate
  # Server-sent events out of whatever pieces they come in.
  class Events
    def initialize
      @rest = +""
    end

    # Yields name and data of each event that is complete now.
    def hear(piece)
      @rest << piece.delete("\r")
      while (event = @rest.slice!(/\A.*?\n\n/m))
        fields = event.lines.map { |line| line.chomp.split(": ", 2) }.select { |field| field.size == 2 }.to_h
        yield fields["event"], fields["data"] if fields["event"] && fields["data"]
      end
    end
  end

  class Keeper
    ENDED = %w[gone not_found not_holder].freeze
    WORD = 6 # seconds: the service promises an event every 5

    # What is to be done when the window is lost: a block that takes a sentence, and when the deploy must have ended.
    def initialize(service, token, options, &lost)
      @service = service
      @token = token
      @path = "/v1/leases/#{DeployGate.lease_id(token)}"
      @ttl = options.seconds(:ttl)
      @stops = options[:on_silence] == "stop"
      @lost = lost
    end

    # lease: that of the close, which was acknowledged at that time.
    def start(lease, acknowledged_at)
      acknowledged(lease, acknowledged_at)
      @threads = [Thread.new { guarded { keep } }]
      @threads << Thread.new { guarded { watch_silence } } if @stops
    end

    def stop
      (@threads || []).each(&:kill)
    end

    private

    def acknowledged(lease, at)
      @life = [lease["expires_in_ms"].to_f / 1000, @ttl].min
      @over_at = at + @life
      @renew_at = at + @life / 3
    end

    def keep
      loop do
        heard = false
        reply = attach { heard = true }
        reply = renew unless heard || ENDED.include?(reply.code)
        return @lost.call(reply.detail, DeployGate.now + 10) if ENDED.include?(reply.code)

        sleep(!heard && reply.ok? ? [@renew_at - DeployGate.now, 0].max : limit / 10)
      end
    end

    def limit
      [@ttl / 3, 5].min
    end

    def renew
      reply = @service.call("Post", "#{@path}/renew", fields: { token: @token }, answer_s: limit)
      acknowledged(reply.body, reply.sent_at) if reply.ok?
      reply
    end

    # Listens until the stream ends, breaks, falls silent, lags or tells of the loss. Yields where it told of a renewal.
    def attach
      events = Events.new
      @base = nil
      @service.listen("#{@path}/attach", @token, [@ttl / 6, WORD].min, [@ttl * 2 / 5, WORD].min) do |piece, sent_at|
        events.hear(piece) do |name, data|
          return renew if name == "lost" || !take(JSON.parse(data), sent_at)

          yield
        end
      end
    rescue JSON::ParserError
      renew
    end

    # An event may have been long on its way. When it was written tells how long after the first, which cannot have been
    # written before the stream was asked for. False: so long ago that it says nothing.
    def take(lease, asked_at)
      written = Time.iso8601(lease["expires_at"]).to_f - lease["expires_in_ms"].to_f / 1000
      @base ||= written
      at = [asked_at + written - @base, DeployGate.now].min
      acknowledged(lease, at) if (fresh = DeployGate.now - at < @ttl / 5)
      fresh
    end

    # Stops so early that nobody else can have the gate yet.
    def watch_silence
      while (left = @over_at - [5, @life / 3].min - DeployGate.now).positive?
        sleep(left)
      end
      @lost.call("no renewal was acknowledged in time", @over_at - [1, @life / 15].min)
    end

    # A thread that died would leave the deploy unguarded.
    def guarded
      yield
    rescue StandardError => e
      @lost.call("#{e.class} in the thread that keeps it", DeployGate.now + 10)
    end
  end
end
