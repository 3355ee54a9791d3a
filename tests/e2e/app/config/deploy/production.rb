# frozen_string_literal: true

# Without a server the same tasks run, with nobody to run them at: quick, where only the gate matters.
unless ENV["E2E_PORT"].to_s.empty?
  server "127.0.0.1", port: ENV["E2E_PORT"].to_i, user: ENV.fetch("E2E_USER"), roles: %w[app]
end
