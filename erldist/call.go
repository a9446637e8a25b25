package erldist

import (
	"context"
	"errors"
)

// Control messages, section "Protocol between Connected Nodes" of
// erl_dist_protocol.
const (
	passThrough = 112

	ctlSend         = 2  // {2, Unused, ToPid}, message
	ctlRegSend      = 6  // {6, FromPid, Unused, ToName}, message
	ctlMonitorPExit = 21 // {21, FromProc, ToPid, Ref, Reason}
	ctlSpawnRequest = 29 // {29, ReqId, From, GroupLeader, {M,F,Arity}, Options}, arguments
	ctlSpawnReply   = 31 // {31, ReqId, To, Flags, Result}
)

// MFA is a remote call: a module, a function and its arguments, the {M, F, A} of
// erlang:apply/3.
type MFA struct {
	Module, Function string
	Args             []Term
}

// Ping asks the process net_kernel whether this client is authorized, as
// net_adm:ping/1 of kernel does ({is_auth, Node}).
func (c *Conn) Ping(ctx context.Context) error {
	_, err := c.call(ctx, func(ctx context.Context) (Term, error) {
		reply, err := c.genCall(ctx, "net_kernel", Tuple{Atom("is_auth"), Atom(c.local.Name)})
		if err == nil && reply != Term(Atom("yes")) {
			err = &CallError{Module: "net_kernel", Function: "is_auth", Class: "refused", Reason: reply}
		}
		return reply, err
	})
	return err
}

// Call makes a remote call through the process rex, as rpc:call/4 of kernel does. It
// returns a *CallError if the call fails on the node.
func (c *Conn) Call(ctx context.Context, module, function string, args ...Term) (Term, error) {
	return c.call(ctx, func(ctx context.Context) (Term, error) { return c.rex(ctx, module, function, args) })
}

// CallAll makes several remote calls in one request, in order: an rpc call of
// lists:zipwith3/4 with erlang:apply/3. If one fails on the node, all of them fail.
func (c *Conn) CallAll(ctx context.Context, calls ...MFA) ([]Term, error) {
	modules, functions, args := make(List, len(calls)), make(List, len(calls)), make(List, len(calls))
	for i, call := range calls {
		modules[i], functions[i], args[i] = Atom(call.Module), Atom(call.Function), List(call.Args)
	}
	apply := Export{Module: "erlang", Function: "apply", Arity: 3}
	var results []Term
	_, err := c.call(ctx, func(ctx context.Context) (Term, error) {
		reply, err := c.rex(ctx, "lists", "zipwith3", List{apply, modules, functions, args})
		if err != nil {
			return nil, err
		}
		if results = elements(reply); len(results) != len(calls) {
			return nil, malformed("results", nil, "not a list of %d", len(calls))
		}
		return reply, nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (c *Conn) rex(ctx context.Context, module, function string, args List) (Term, error) {
	reply, err := c.genCall(ctx, "rex", Tuple{Atom("call"), Atom(module), Atom(function), args, Atom("user")})
	if err != nil {
		return nil, err
	}
	if t, ok := reply.(Tuple); ok && len(t) == 2 && t[0] == Term(Atom("badrpc")) {
		return nil, &CallError{Module: module, Function: function, Class: "badrpc", Reason: t[1]}
	}
	return reply, nil
}

// elements returns the elements of a proper list. A list of bytes arrives as a
// String.
func elements(t Term) []Term {
	switch t := t.(type) {
	case List:
		return t
	case String:
		list := make([]Term, len(t))
		for i := range len(t) {
			list[i] = Int(t[i])
		}
		return list
	}
	return nil
}

// ERPC makes a remote call as erpc:call/4 of kernel does, by SPAWN_REQUEST of
// erl_dist_protocol: in a new process on the node, without rex. It returns a
// *CallError if the call fails on the node. The function must not print, because its
// group leader is this client, which does not answer I/O requests.
func (c *Conn) ERPC(ctx context.Context, module, function string, args ...Term) (Term, error) {
	return c.call(ctx, func(ctx context.Context) (Term, error) {
		reply, err := c.request(ctx, func(self Pid, ref Ref) []byte {
			return controlMessage(
				Tuple{Int(ctlSpawnRequest), ref, self, self,
					Tuple{Atom("erpc"), Atom("execute_call"), Int(4)}, List{Atom("monitor")}},
				List{ref, Atom(module), Atom(function), List(args)})
		})
		if err != nil {
			return nil, err
		}
		return erpcResult(module, function, reply)
	})
}

// erpcResult interprets the exit reason of the process that ran erpc:execute_call/4:
// {Ref, return, Result}, {Ref, throw | exit | error, Reason, …}, or any other reason if
// the process could not be spawned or was killed.
func erpcResult(module, function string, reason Term) (Term, error) {
	t, ok := reason.(Tuple)
	if !ok || len(t) < 3 {
		return nil, &CallError{Module: module, Function: function, Class: "exit", Reason: reason}
	}
	if _, ok := t[0].(Ref); !ok {
		return nil, &CallError{Module: module, Function: function, Class: "exit", Reason: reason}
	}
	class, _ := t[1].(Atom)
	switch class {
	case "return":
		return t[2], nil
	case "throw", "exit", "error":
		return nil, &CallError{Module: module, Function: function, Class: string(class), Reason: t[2]}
	}
	return nil, &CallError{Module: module, Function: function, Class: "exit", Reason: reason}
}

// genCall calls a registered process as gen_server:call/2 does, without a monitor: the
// end of the connection is noticed anyway.
func (c *Conn) genCall(ctx context.Context, process Atom, request Term) (Term, error) {
	return c.request(ctx, func(self Pid, ref Ref) []byte {
		return controlMessage(
			Tuple{Int(ctlRegSend), self, Atom(""), process},
			Tuple{Atom("$gen_call"), Tuple{self, ref}, request})
	})
}

func controlMessage(control, message Term) []byte {
	b := appendTerm([]byte{passThrough, tagVersion}, control)
	return appendTerm(append(b, tagVersion), message)
}

// parseReply returns the reference and the content of the reply in a frame. The reply
// is nil if the frame holds something else.
func parseReply(frame []byte) (ref Ref, reply Term, err error) {
	if len(frame) == 0 || frame[0] != passThrough {
		return ref, nil, malformed("distribution message", nil, "it is not of type %d", passThrough)
	}
	control, rest, err := decodeVersioned(frame[1:])
	if err != nil {
		return ref, nil, err
	}
	t, ok := control.(Tuple)
	if !ok || len(t) == 0 {
		return ref, nil, malformed("distribution message", nil, "its control message is not a tuple")
	}
	switch {
	case t[0] == Term(Int(ctlSend)):
		return parseGenReply(rest)
	case t[0] == Term(Int(ctlMonitorPExit)) && len(t) == 5:
		ref, ok = t[3].(Ref)
		reply = t[4]
	case t[0] == Term(Int(ctlSpawnReply)) && len(t) == 5:
		// A pid means that the process runs; its exit reason is the reply.
		if _, running := t[4].(Pid); !running {
			ref, ok = t[1].(Ref)
			reply = t[4]
		}
	}
	if !ok {
		return ref, nil, nil
	}
	return ref, reply, nil
}

// parseGenReply parses {Ref, Reply}.
func parseGenReply(data []byte) (ref Ref, reply Term, err error) {
	message, _, err := decodeVersioned(data)
	if err != nil {
		return ref, nil, err
	}
	if t, ok := message.(Tuple); ok && len(t) == 2 {
		if ref, ok := t[0].(Ref); ok {
			return ref, t[1], nil
		}
	}
	return ref, nil, nil
}

// call runs the stage Call.
func (c *Conn) call(ctx context.Context, do func(context.Context) (Term, error)) (reply Term, err error) {
	a := attempt{dialer: c.dialer, node: c.node, trace: traceOf(ctx)}
	err = a.run(ctx, StageCall, c.RemoteAddr().String(), c.raw.Received, func(ctx context.Context) error {
		reply, err = do(ctx)
		return err
	})
	return reply, err
}

// withoutExcerpt removes the excerpt from a MalformedError, because after the handshake
// a message may contain what we sent.
func withoutExcerpt(err error) error {
	var m *MalformedError
	if errors.As(err, &m) {
		return &MalformedError{Message: m.Message, Problem: m.Problem}
	}
	return err
}
