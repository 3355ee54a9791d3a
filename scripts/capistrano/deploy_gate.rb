# frozen_string_literal: true

# deploy-gate for Capistrano: a deploy, or a rollback, has the gate to itself from before deploy:starting until after
# deploy:finished. In the Capfile, behind require "capistrano/deploy":
#
#   load "scripts/capistrano/deploy_gate.rb"
#
# and in config/deploy.rb, where the defaults will not do:
#
#   set :deploy_gate, "production"            # default: the stage; several by commas; false for none
#   set :deploy_gate_options, { url: "https://gate.example.com", wait: "10m" }
#
# Needs nothing but the files beside it and Ruby's standard library, from 2.4 on.

require_relative "deploy_gate/options"
require_relative "deploy_gate/service"
require_relative "deploy_gate/keeper"
require_relative "deploy_gate/window"

module DeployGate
  class << self
    def say(sentence)
      $stdout.puts("deploy-gate: #{sentence.gsub(/[[:cntrl:]]/, ' ')}")
      $stdout.flush
    end

    def complain(sentence)
      $stderr.puts("deploy-gate: #{sentence.gsub(/[[:cntrl:]]/, ' ')}")
    end

    # Closes the gates of the configuration, once in a process; a refusal ends the process.
    def close
      return if @window || gates.empty?
      return say("a dry run: #{gates} stays as it is") if dry_run?

      in_words do
        check_names
        return if inside_another?

        @window = Window.new(gates, options, reason)
        at_exit { leave($!) }
        @window.close
      end
      tell
      set(:deploy_gate_fence, @window.fence)
      open_last
    end

    # Ends the window of this process, if it has one; what ended too early ends the process.
    def finish(failed)
      return unless @window

      intact = @window.open(failed)
      @told_before&.each { |name, value| ENV[name] = value }
      @window = nil
      end_now unless intact
    end

    def open
      return finish(false) if @window

      in_words { raise Refused.new("this cap closed nothing, so it has nothing to open", "bad_request") }
    end

    def status
      in_words do
        check_names
        gates.split(",").each do |gate|
          reply = Service.new(options).ask("Get", "/v1/gates/#{gate}", reach: 5)
          raise Refused.new(reply.detail, reply.code) unless reply.ok?

          say("#{gate} is #{reply.body['state']}#{described(reply.body)}")
        end
      end
    end

    private

    # Not by exit: closing the connections there, and the threads that Ruby waits for, take until the remote command has ended now
    # and then, and the gate is not ours.
    def end_now
      [$stdout, $stderr].each(&:flush)
      exit!(EXITS["gone"])
    end

    # Hooked on only now, with the whole configuration loaded, so that opening comes after all that was hooked there.
    def open_last
      Rake::Task.define_task("deploy:finished") { DeployGate.finish(false) }
      Rake::Task.define_task("deploy:failed") { DeployGate.finish(true) }
    end

    # deploy:failed does not come in a rollback, after an "exit 1", or for tasks called one by one.
    def leave(error)
      finish(!(error.nil? || (error.is_a?(SystemExit) && error.success?))) if @window && @window.ours?
    end

    def in_words
      yield
    rescue Refused => e
      complain("exit #{EXITS[e.code]} (#{e.code}): #{e.message}")
      exit(EXITS[e.code])
    end

    # Whether this cap is run by somebody who has closed the gates already, as in: deploy-gate deploy … -- cap …
    def inside_another?
      return false unless ENV["DEPLOY_GATE_TOKEN"]

      @outers = Window.outers(Service.new(options))
      open = gates.split(",").reject { |gate| outer?("window") { |outer| within?(gate, outer) } }
      jobs = open.select { |gate| outer?("pass") { |outer| within?(gate, outer) || within?(outer, gate) } }
      raise Refused.new("a job inside #{jobs.join(',')} cannot close it", "bad_request") unless jobs.empty?

      if open.empty? then say("#{gates} is closed already, by what runs this cap")
      else complain("DEPLOY_GATE_TOKEN is not that of a live window over #{open.join(',')}: ignored")
      end
      open.empty?
    end

    # Whether any gate of the leases of that kind, of those that this cap runs inside of, is so.
    def outer?(kind, &so)
      @outers.values.any? { |lease| lease["kind"] == kind && lease["gates"].any?(&so) }
    end

    def within?(gate, ancestor)
      "#{gate}.".start_with?("#{ancestor}.")
    end

    # What runs inside this cap is told of its window, and of what the cap runs inside of.
    def tell
      told = @window.environment
      told["DEPLOY_GATE_OUTER"] = @outers.keys.join(",") if @outers && !@outers.empty?
      @told_before = told.map { |name, _| [name, ENV[name]] }.to_h
      ENV.update(told)
    end

    def described(gate)
      window = gate["window"] || {}
      by = gate["closed_by"] unless gate["closed_by"] == gate["name"]
      left = window["expires_in_ms"] unless window["ended_at"]
      [by && " through #{by}", window["holder"] && " by #{window['holder']}",
       window["reason"] && ": #{window['reason']}", left && ", for another #{left / 1000} s unless renewed"].join
    end

    def gates
      Array(fetch(:deploy_gate, fetch(:stage)) || []).join(",").split(",").map(&:strip).join(",")
    end

    # A name mistyped must not become another gate's.
    def check_names
      bad = gates.split(",", -1).find { |gate| gate !~ /\A[\w.-]+\z/ }
      raise Refused.new("deploy_gate: \"#{bad}\" is not the name of a gate", "configuration") if bad
    end

    def options
      @options ||= Options.new(fetch(:deploy_gate_options, {}))
    end

    # Arguments of tasks stay out of it: they may be secrets.
    def reason
      tasks = Rake.application.top_level_tasks.map { |task| task[/\A[^\[]+/] }
      ["cap", *tasks, *(fetch(:application) && "(#{fetch(:application)})")].join(" ")[0, 250]
    end
  end
end

namespace :deploy_gate do
  desc "Close the gate for what this cap does next"
  task(:close) { DeployGate.close }

  desc "Open the gate that this cap closed"
  task(:open) { DeployGate.open }

  desc "Say whether the gate is open, and who holds it"
  task(:status) { DeployGate.status }
end

# In front of whatever else the project does before it starts.
Rake::Task.define_task("deploy:starting").prerequisites.unshift("deploy_gate:close")
