# frozen_string_literal: true

# The window of a deploy: closed, kept alive and opened.

require "digest"
require "etc"
require "securerandom"
require "socket"

module DeployGate
  # The window of this process: closed, kept alive by a thread, and opened.
  class Window
    STEP = 25 # of a long wait, in seconds: proxies lose patience after 60
    ENDED = %w[gone not_found not_holder].freeze

    def self.id(token)
      Digest::SHA256.hexdigest(token)[0, 32]
    end

    # The live lease of somebody's token; without gates if there is none.
    def self.behind(token, service)
      lease = service.ask("Get", "/v1/leases/#{id(token)}").body
      lease["gates"] && !lease["ended_at"] ? lease : { "gates" => [] }
    end

    def initialize(gates, options, reason)
      @gates = gates
      @options = options
      @service = Service.new(options)
      @token = SecureRandom.hex(16)
      holder = "#{Etc.getpwuid.name}@#{Socket.gethostname}"
      @terms = { token: @token, ttl: options[:ttl], holder: holder, reason: reason }.merge(options.passed_on)
      @pid = Process.pid
      @losing = Mutex.new
    end

    attr_reader :fence

    # A forked child inherits what runs at exit, but not the window.
    def ours?
      @pid == Process.pid
    end

    # Waits in the queue, if that is wanted, and returns with the gate closed; else Refused.
    def close
      give_up_at = DeployGate.now + @options.seconds(:wait)
      step = 1 # the first answer comes soon, to say who is in the way
      loop do
        reply = ask_to_close([give_up_at - DeployGate.now, 0].max, step)
        return closed(reply, step) if reply.ok?

        raise Refused.new(reply.detail, reply.code) unless worth_waiting?(reply, give_up_at)

        DeployGate.say("waits: #{reply.detail}") unless @told == reply.detail
        @told = reply.detail
        early = DeployGate.now - reply.sent_at < step
        sleep([reply.retry_after, [give_up_at - DeployGate.now, 0.1].max].min) if early
        step = STEP
      end
    end

    # Ends the window, or the place in the queue. False if the window had ended before.
    def open(failed)
      (@threads || []).each(&:kill)
      return false if @lost

      outcome = "failed" if failed && @options[:on_failure] == "hold"
      fields = { token: @token, outcome: outcome }.compact
      reply = @service.ask("Post", "/v1/gates/#{@gates}/open", fields: fields, reach: @fence ? 20 : 0)
      return true unless @fence

      tell_opened(reply, outcome)
      !ENDED.include?(reply.code)
    end

    # For what the deploy runs on this machine: deploy-gate lets it in.
    def environment
      { "DEPLOY_GATE_TOKEN" => @token, "DEPLOY_GATE_GATES" => @gates, "DEPLOY_GATE_FENCE" => @fence.to_s }
    end

    def inspect
      "#<DeployGate::Window #{@gates}>"
    end

    private

    def ask_to_close(wait, step)
      terms = @terms.merge(wait: "#{(wait * 1000).round}ms", timeout: "#{step}s")
      @service.ask("Post", "/v1/gates/#{@gates}/close", fields: terms, patience: step)
    end

    # Jobs that leave are waited for as long as drain says, and the service counts that.
    def worth_waiting?(reply, give_up_at)
      reply.code == "draining" || (%w[held frozen too_many].include?(reply.code) && DeployGate.now < give_up_at)
    end

    # The time that a held back answer was under way is not known: then the next renewal comes at once.
    def closed(reply, step)
      @fence = reply.body["fence"]
      acknowledged(DeployGate.now, reply)
      @renew_at = DeployGate.now if step == STEP
      @threads = [Thread.new { guarded { renew_forever } }]
      @threads << Thread.new { guarded { watch_silence } } if @options[:on_silence] == "stop"
      DeployGate.say("#{@gates} is closed, fence #{@fence}")
    end

    def acknowledged(at, reply)
      @life = reply.body["expires_in_ms"].to_f / 1000
      @over_at = at + @life
      @renew_at = at + [@life, @options.seconds(:ttl)].min / 3
    end

    def renew_forever
      limit = [@options.seconds(:ttl) / 3, 5].min
      loop do
        sleep([@renew_at - DeployGate.now, 0].max)
        reply = @service.call("Post", "/v1/leases/#{Window.id(@token)}/renew", fields: { token: @token }, answer_s: limit)
        if reply.ok? then acknowledged(reply.sent_at, reply)
        elsif ENDED.include?(reply.code) then return lose(reply.detail, DeployGate.now + 10)
        else sleep(limit / 5)
        end
      end
    end

    # Stops so early that nobody else can have the gate yet.
    def watch_silence
      while (left = @over_at - [5, @life / 3].min - DeployGate.now).positive?
        sleep(left)
      end
      lose("no renewal was acknowledged in time", @over_at - [1, @life / 15].min)
    end

    # Aborts the deploy. Tasks that do not let themselves be interrupted have until the end.
    def lose(why, end_at)
      @losing.synchronize do
        @lost = true
        Thread.main.raise(Lost, "#{@gates} is not ours any more: #{why}")
        sleep([end_at - DeployGate.now, 0].max)
        DeployGate.complain("exit 76 (gone): the deploy did not end by itself")
        exit!(EXITS["gone"])
      end
    end

    # A thread that died would leave the deploy unguarded.
    def guarded
      yield
    rescue StandardError => e
      lose("#{e.class} in the renewing thread", DeployGate.now + 10)
    end

    def tell_opened(reply, held)
      if ENDED.include?(reply.code) then DeployGate.complain("exit 76 (gone): #{reply.detail}; jobs may have run since")
      elsif !reply.ok? then DeployGate.complain("#{@gates} stays shut until its TTL has passed: #{reply.detail}")
      elsif held then DeployGate.say("#{@gates} stays shut until the next deploy, or deploy-gate open --force")
      else DeployGate.say("#{@gates} is open")
      end
    end
  end
end
