# frozen_string_literal: true

# The window of a deploy: closed and opened.

require "etc"
require "securerandom"
require "socket"

module DeployGate
  # The window of this process: closed, kept alive by threads beside the deploy, and opened.
  class Window
    STEP = 25 # of a long wait, in seconds: proxies lose patience after 60

    # The live leases that this process runs inside of, by their tokens, the innermost first.
    def self.outers(service)
      tokens = [ENV["DEPLOY_GATE_TOKEN"], *ENV["DEPLOY_GATE_OUTER"].to_s.split(",")]
      leases = tokens.map { |token| [token, service.ask("Get", "/v1/leases/#{DeployGate.lease_id(token)}").body] }
      leases.select { |_, lease| lease["gates"] && !lease["ended_at"] }.to_h
    end

    def initialize(gates, options, reason)
      @gates = gates
      @options = options
      @service = Service.new(options)
      @token = SecureRandom.hex(16)
      holder = "#{Etc.getpwuid.name}@#{Socket.gethostname}"
      @terms = { token: @token, ttl: options[:ttl], holder: holder, reason: reason }.merge(options.passed_on)
      @pid = Process.pid
      @keeper = Keeper.new(@service, @token, options) { |why, end_at| lose(why, end_at) }
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
      longest = STEP
      loop do
        reply = ask_to_close([give_up_at - DeployGate.now, 0].max, step)
        return closed(reply) if reply.ok?
        if too_long?(reply, step)
          step = longest = step / 2
          next
        end
        raise Refused.new(reply.detail, refusal(reply)) unless worth_waiting?(reply, give_up_at)

        DeployGate.say("waits: #{reply.detail}") unless @told == reply.detail
        @told = reply.detail
        early = DeployGate.now - reply.sent_at < step
        sleep([reply.retry_after, [give_up_at - DeployGate.now, 0.1].max].min) if early
        step = longest
      end
    end

    # Ends the window, or the place in the queue. False if the window had ended before.
    def open(failed)
      @keeper.stop
      return false if @lost

      outcome = "failed" if failed && @options[:on_failure] == "hold"
      fields = { token: @token, outcome: outcome }.compact
      reply = @service.ask("Post", "/v1/gates/#{@gates}/open", fields: fields, reach: @fence ? 20 : 0)
      return true unless @fence

      tell_opened(reply, outcome)
      !Keeper::ENDED.include?(reply.code)
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

    # The service is set to let no request wait that long.
    def too_long?(reply, step)
      step > 1 && reply.code == "bad_request" && reply.detail.include?("(setting max-wait)")
    end

    # The drain may have been over between two answers.
    def refusal(reply)
      reply.code == "gone" && reply.body.dig("lease", "end") == "drain_timeout" ? "drain_timeout" : reply.code
    end

    # Jobs that leave are waited for as long as drain says, and the service counts that.
    def worth_waiting?(reply, give_up_at)
      reply.code == "draining" || (%w[held frozen too_many].include?(reply.code) && DeployGate.now < give_up_at)
    end

    def closed(reply)
      @fence = reply.body["fence"]
      @keeper.start(reply.body, DeployGate.now)
      DeployGate.say("#{@gates} is closed, fence #{@fence}")
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

    def tell_opened(reply, held)
      if Keeper::ENDED.include?(reply.code) then DeployGate.complain("exit 76 (gone): #{reply.detail}; jobs may have run since")
      elsif !reply.ok? then DeployGate.complain("#{@gates} stays shut until its TTL has passed: #{reply.detail}")
      elsif held then DeployGate.say("#{@gates} stays shut until the next deploy, or deploy-gate open --force")
      else tell_what_it_is
      end
    end

    # Another deploy may have the gate by now, or what shuts one above it. Who does not answer at once is not waited for.
    def tell_what_it_is
      reply = @service.call("Get", "/v1/gates/#{@gates}/check", answer_s: 2)
      if reply.ok? then DeployGate.say("#{@gates} is open")
      elsif reply.code == "closed"
        DeployGate.say("the window over #{@gates} has ended, but the gate is shut: #{reply.detail}")
      else DeployGate.say("the window over #{@gates} has ended")
      end
    end
  end
end
