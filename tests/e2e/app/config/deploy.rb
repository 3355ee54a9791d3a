# frozen_string_literal: true

$stdout.sync = true

set :application, "shop"
set :repo_url, ENV.fetch("E2E_REPOSITORY")
set :branch, "main"
set :deploy_to, ENV.fetch("E2E_TARGET")
set :tmp_dir, ENV.fetch("E2E_TARGET")
set :keep_releases, 20
set :ssh_options, {
  keys: [ENV.fetch("E2E_KEY")], keys_only: true, auth_methods: %w[publickey], config: false,
  user_known_hosts_file: ENV.fetch("E2E_KNOWN_HOSTS"), verify_host_key: :always, use_agent: false
}

# E2E_OPTIONS="ttl=3s on_failure=hold"
set(:deploy_gate_options, ENV.fetch("E2E_OPTIONS", "").split.map { |option| option.split("=", 2) }.to_h)

set(:deploy_gate, ENV["E2E_GATE"]) if ENV["E2E_GATE"]

# One line of the journal, with the time that jobs write too.
def note(what)
  File.write("journal", "#{File.read('/proc/uptime').split.first} #{what}\n", mode: "a")
end

# What the test wants to happen behind a task: "hold" until the file "go" is there, in a command on the server if there is
# one; "raise"; "exit"; "fork" a child that ends like any Ruby program; "tell" the secret; run a job "inside"; close
# what the cap runs "outside" of.
ACTS = {
  "hold" => lambda do
    note "holds"
    hold = "while [ -d #{Dir.pwd} ] && ! [ -e #{Dir.pwd}/go ]; do sleep 0.05; done"
    roles(:app).any? ? on(roles(:app)) { execute hold } : system(hold)
  end,
  "raise" => -> { raise "the migration failed" },
  "exit" => -> { exit 3 },
  "fork" => -> { Process.wait(fork { exit }) },
  "tell" => -> { File.write("secret", ENV.fetch("DEPLOY_GATE_TOKEN")) },
  "inside" => -> { system(ENV.fetch("E2E_CLIENT"), "run", "production", "--wait", "0s", "--", "touch", "inside") },
  "outside" => -> { system(ENV.fetch("E2E_CLIENT"), "close", "elsewhere") }
}.freeze

# E2E_ACTS="updated:tell updated:hold reverted:raise"
ENV.fetch("E2E_ACTS", "").split.each do |act|
  task, what = act.split(":")
  after("deploy:#{task}", act) { ACTS.fetch(what).call }
end

after("deploy:published", "journal:published") { note "published" }
after("deploy:failed", "journal:failed") { note "failed" }

# Hooked on after the plugin; still the gate must not be open yet, or the jobs that wait run now.
after("deploy:finished", "journal:last") do
  sleep 0.3
  note "last"
end
