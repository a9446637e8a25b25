defmodule Chat.Room do
  @moduledoc false
  use Agent

  def start_link(room), do: Agent.start_link(fn -> [] end, name: via(room))

  def append(room, text), do: Agent.update(via(room), &[text | &1])

  def history(room), do: Agent.get(via(room), &Enum.reverse/1)

  defp via(room), do: {:via, Registry, {Chat.Rooms, room}}
end
