# frozen_string_literal: true

# The way to the service: its addresses, one request at a time, and what came back. Knows nothing of gates.

require "json"
require "net/http"
require "openssl"
require "socket"
require "uri"

module DeployGate
  # Net::HTTP over a Unix socket.
  class SocketHTTP < Net::HTTP
    attr_accessor :path

    private

    def connect
      @socket = Net::BufferedIO.new(UNIXSocket.new(path), read_timeout: read_timeout)
    end
  end

  # One place where the service may be found: http://host:port, https://host/prefix or unix:/path.
  class Address
    def initialize(text)
      @text = text.strip
      @socket = @text[%r{\Aunix:(/.*)\z}, 1]
      @uri = URI.parse(@socket ? "http://localhost" : @text.chomp("/"))
      raise URI::InvalidURIError unless @uri.is_a?(URI::HTTP) && @uri.hostname && !@uri.userinfo && !@uri.query
    rescue URI::InvalidURIError
      raise Refused.new("an address of the service is http://host:port, https://host or unix:/path", "configuration")
    end

    def to_s
      @text
    end

    # Whether a secret would be read on the way.
    def exposed?
      @uri.scheme == "http" && !local?
    end

    def path(rest)
      @uri.path + rest
    end

    # A connection that gives up connecting after connect_s, and reading after answer_s.
    def connection(connect_s, answer_s)
      http = if @socket then SocketHTTP.new("localhost", 80, nil).tap { |h| h.path = @socket }
             elsif local? then Net::HTTP.new(@uri.hostname, @uri.port, nil)
             else Net::HTTP.new(@uri.hostname, @uri.port)
             end
      http.use_ssl = @uri.scheme == "https"
      http.open_timeout = http.ssl_timeout = connect_s
      http.read_timeout = answer_s
      http.max_retries = 0 if http.respond_to?(:max_retries=)
      http
    end

    private

    def local?
      @socket || @uri.hostname == "localhost" || @uri.hostname == "::1" || @uri.hostname =~ /\A127\.\d+\.\d+\.\d+\z/
    end
  end

  # What came back: the status (0: nothing of the service did), the JSON object, and when the request was sent.
  Reply = Struct.new(:status, :body, :sent_at, :detail) do
    def ok?
      status.between?(200, 299) && body.any?
    end

    def code
      return body["code"].to_s if body["code"]

      status.zero? || status >= 500 ? "unavailable" : "unknown"
    end

    # Whether somebody who knows has spoken. A proxy's 502, or 503 from a service without its database, is silence.
    def answer?
      !status.zero? && status < 500 && status != 429
    end

    def retry_after
      (body["retry_after"] || 1).to_f
    end
  end

  # The service at its addresses, of which the one that last answered is asked first.
  class Service
    TROUBLE = [SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
               Net::HTTPBadResponse, Net::HTTPHeaderSyntaxError].freeze

    def initialize(options)
      @addresses = options.urls.map { |text| Address.new(text) }
      @access_token = options.access_token
      return unless @access_token && !options[:plain_http] && (bare = @addresses.find(&:exposed?))

      raise Refused.new("the access token would go to #{bare} unencrypted: use https, or the option plain_http: true",
                        "configuration")
    end

    # Asks until somebody answers, for at most reach seconds; patience is how long the answer itself may be held back.
    def ask(verb, path, fields: nil, patience: 0, reach: 60)
      give_up_at = DeployGate.now + reach
      told = false
      loop do
        reply = call(verb, path, fields: fields, answer_s: patience + 10)
        return reply if reply.answer? || DeployGate.now >= give_up_at

        DeployGate.complain("#{reply.detail}; trying on for #{reach} s") unless told
        told = true
        sleep([reply.retry_after, 2].min)
      end
    end

    # Asks each address once.
    def call(verb, path, fields: nil, answer_s: 10)
      reply = nil
      @addresses.size.times do
        reply = exchange(@addresses.first, verb, path, fields, answer_s)
        return reply if reply.answer?

        @addresses.rotate!
      end
      reply
    end

    # Yields the pieces of an event stream as they come, each with the time when the stream was asked for, from the address that
    # last answered. Returns what came instead, or why there is no more. answer_s: within which the first must come; silence_s:
    # how long nothing may come then.
    def listen(path, token, answer_s, silence_s)
      address = @addresses.first
      request = request("Get", address.path(path), "Accept" => "text/event-stream", "Accept-Encoding" => "identity",
                                                   "X-Lease-Token" => token)
      sent_at = DeployGate.now
      reply = Reply.new(0, {}, sent_at, "#{address} says no more")
      address.connection(answer_s, answer_s).start do |http|
        http.request(request) do |response|
          next reply = understand(response, sent_at, address) unless response.is_a?(Net::HTTPOK)

          response.read_body do |piece|
            http.read_timeout = silence_s
            yield piece, sent_at
          end
        end
      end
      @addresses.rotate! unless reply.answer?
      reply
    rescue *TROUBLE => e
      @addresses.rotate!
      Reply.new(0, {}, sent_at, "#{address} does not answer: #{e.message}")
    end

    # Exceptions show what they are about; this is about secrets.
    def inspect
      "#<DeployGate::Service>"
    end

    private

    def request(verb, path, header)
      request = Net::HTTP.const_get(verb).new(path, header)
      request["Authorization"] = "Bearer #{@access_token}" if @access_token
      request
    end

    def exchange(address, verb, path, fields, answer_s)
      request = request(verb, address.path(path), "Accept" => "application/json")
      if fields
        request["Content-Type"] = "application/json"
        request.body = JSON.generate(fields)
      end
      sent_at = DeployGate.now
      response = address.connection([5, answer_s].min, answer_s).start { |http| http.request(request) }
      understand(response, sent_at, address)
    rescue *TROUBLE => e
      Reply.new(0, {}, sent_at, "#{address} does not answer: #{e.message}")
    end

    def understand(response, sent_at, address)
      body = begin
        JSON.parse(response.body.to_s)
      rescue JSON::ParserError
        nil
      end
      return Reply.new(0, {}, sent_at, foreign(response, address)) unless ours?(body, response)

      body["retry_after"] ||= response["Retry-After"]
      Reply.new(response.code.to_i, body.compact, sent_at, body["detail"] || body["title"])
    end

    # Whatever is asked of the service here has a state, and its refusals have a type. Others speak JSON too.
    def ours?(body, response)
      return false unless body.is_a?(Hash)

      response.is_a?(Net::HTTPSuccess) ? body["state"] : body["type"].to_s.start_with?("/problems/")
    end

    def foreign(response, address)
      by_proxy = %w[502 503 504].include?(response.code)
      end_of_it = by_proxy ? ", as a proxy that reaches no deploy-gate does" : " and is no deploy-gate"
      "#{address} answers HTTP #{response.code}#{end_of_it}"
    end
  end
end
