defmodule Chat.Application do
  use Application

  @impl true
  def start(_type, _arguments) do
    children = [
      %{id: Chat.PubSub, start: {:pg, :start_link, [Chat.PubSub]}},
      {Registry, keys: :unique, name: Chat.Rooms},
      {DynamicSupervisor, name: Chat.RoomSupervisor},
      {Chat.Endpoint, port: 4000}
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Chat.Supervisor)
  end
end
