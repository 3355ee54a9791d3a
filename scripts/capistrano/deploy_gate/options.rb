# frozen_string_literal: true

# What the rest stands on: refusals, time, ids, and the settings of a project.

require "digest"

module DeployGate
  # The exit statuses of the client.
  EXITS = Hash.new(70).merge(
    "bad_request" => 64, "not_found" => 64, "unavailable" => 69, "held" => 75, "frozen" => 75, "draining" => 75,
    "too_many" => 75, "gone" => 76, "unauthorized" => 77, "forbidden" => 77, "not_holder" => 77, "token_used" => 77,
    "configuration" => 78, "drain_timeout" => 79
  ).freeze

  # The gate was not closed, or cannot be spoken of: a sentence, and a word of EXITS.
  class Refused < StandardError
    attr_reader :code

    def initialize(sentence, code)
      super(sentence)
      @code = code
    end
  end

  # The window is gone in mid-deploy. No StandardError, so that no "rescue => e" of a task goes on without it.
  class Lost < Exception # rubocop:disable Lint/InheritException
  end

  # Seconds that go on while the machine sleeps, because the window's time does.
  def self.now
    Process.clock_gettime(defined?(Process::CLOCK_BOOTTIME) ? Process::CLOCK_BOOTTIME : Process::CLOCK_MONOTONIC)
  end

  # The public id of the lease that a token belongs to.
  def self.lease_id(token)
    Digest::SHA256.hexdigest(token)[0, 32]
  end

  # "1h30m" in seconds.
  def self.seconds(duration)
    unless duration =~ /\A(\d+(ms|[smhd]))+\z/
      raise Refused.new("\"#{duration}\" is no duration: write 90s, 30m or 1h30m", "configuration")
    end
    units = { "ms" => 0.001, "s" => 1, "m" => 60, "h" => 3600, "d" => 86_400 }
    duration.scan(/(\d+)(ms|[smhd])/).sum { |number, unit| number.to_f * units[unit] }
  end

  # What was set, over the defaults. Of the rest of API's parameters those that a deploy has use for go on as they are.
  class Options
    DEFAULTS = { ttl: "60s", wait: "0s", drain: "10m", on_failure: "open", on_silence: "stop" }.freeze
    PASSED_ON = %i[drain on_drain on_expiry grace max reason holder release link].freeze
    CHOICES = { on_failure: %w[open hold], on_silence: %w[stop finish] }.freeze
    KNOWN = (%i[url access_token_file plain_http] + DEFAULTS.keys + PASSED_ON).freeze

    def initialize(given)
      @values = DEFAULTS.merge(given.map { |key, value| [key.to_sym, value] }.to_h)
      unknown = @values.keys - KNOWN
      fail_with("there is no option #{unknown.first}: there are #{KNOWN.uniq.join(', ')}") unless unknown.empty?
      CHOICES.each do |key, words|
        @values[key] = @values[key].to_s
        fail_with("#{key} is #{words.join(' or ')}") unless words.include?(@values[key])
      end
    end

    def [](key)
      @values[key]
    end

    def seconds(key)
      DeployGate.seconds(@values[key].to_s)
    end

    def urls
      (@values[:url] || ENV["DEPLOY_GATE_URL"] || "http://127.0.0.1:7433").split(",")
    end

    def access_token
      file = @values[:access_token_file]
      return ENV["DEPLOY_GATE_ACCESS_TOKEN"] if file.nil? && ENV["DEPLOY_GATE_ACCESS_TOKEN"]

      file ||= ENV["DEPLOY_GATE_ACCESS_TOKEN_FILE"]
      file && File.read(file).strip
    rescue SystemCallError => e
      fail_with("the access token cannot be read: #{e.message}")
    end

    def passed_on
      PASSED_ON.map { |key| [key == :link ? :url : key, @values[key]] }.reject { |_, value| value.nil? }.to_h
    end

    private

    def fail_with(sentence)
      raise Refused.new("deploy_gate_options: #{sentence}", "configuration")
    end
  end
end
