# frozen_string_literal: true

server "127.0.0.1", port: ENV.fetch("E2E_PORT").to_i, user: ENV.fetch("E2E_USER"), roles: %w[app]
