defmodule Chat.MixProject do
  use Mix.Project

  def project do
    [app: :chat, version: "1.0.0", elixir: "~> 1.14", deps: [], releases: [chat: [include_executables_for: [:unix]]]]
  end

  # :ssl carries the distribution: without it, a release dies with
  # "Protocol 'inet_tls': not supported".
  def application do
    [mod: {Chat.Application, []}, extra_applications: [:logger, :ssl]]
  end
end
