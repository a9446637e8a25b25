defmodule Chat do
  @moduledoc "Rooms that span the nodes of the cluster."

  @doc "Joins a room: the calling process receives `{:said, room, from, text}`."
  def join(room) do
    :ok = ensure_room(room)
    :pg.join(Chat.PubSub, {:listeners, room}, self())
  end

  @doc "Says something to everybody in the room, on all nodes. Returns how many they are."
  def say(room, text) do
    listeners = :pg.get_members(Chat.PubSub, {:listeners, room})
    Enum.each(listeners, &send(&1, {:said, room, node(), text}))
    :ok = ensure_room(room)
    Chat.Room.append(room, text)
    length(listeners)
  end

  @doc "What was said in the room by way of this node."
  def history(room) do
    :ok = ensure_room(room)
    Chat.Room.history(room)
  end

  @doc "Does this node serve? For probes: `bin/chat rpc 'true = Chat.ready?()'`."
  def ready?, do: Chat.Endpoint.listening?()

  defp ensure_room(room) do
    case DynamicSupervisor.start_child(Chat.RoomSupervisor, {Chat.Room, room}) do
      {:ok, _pid} -> :ok
      {:error, {:already_started, _pid}} -> :ok
    end
  end
end
