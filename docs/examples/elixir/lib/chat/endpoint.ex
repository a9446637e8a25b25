defmodule Chat.Endpoint do
  @moduledoc "HTTP: answers every request with this node and the nodes that it is linked to."
  use GenServer

  def start_link(options), do: GenServer.start_link(__MODULE__, options, name: __MODULE__)

  def listening?, do: GenServer.call(__MODULE__, :listening?)

  @impl true
  def init(options) do
    {:ok, listener} =
      :gen_tcp.listen(options[:port], [:binary, packet: :http_bin, active: false, reuseaddr: true, backlog: 128])

    spawn_link(fn -> accept(listener) end)
    {:ok, listener}
  end

  @impl true
  def handle_call(:listening?, _from, listener), do: {:reply, Port.info(listener) != nil, listener}

  defp accept(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)
    server = spawn(fn -> serve(socket) end)
    :gen_tcp.controlling_process(socket, server)
    accept(listener)
  end

  defp serve(socket) do
    with {:ok, {:http_request, _method, _path, _version}} <- :gen_tcp.recv(socket, 0, 5_000) do
      body = Enum.map_join([node() | Node.list()], "", &"#{&1}\n")
      head = "HTTP/1.1 200 OK\r\nContent-Length: #{byte_size(body)}\r\nConnection: close\r\n\r\n"
      :gen_tcp.send(socket, [head, body])
    end

    :gen_tcp.close(socket)
  end
end
