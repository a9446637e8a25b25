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

// MFA is a call: a module, a function and its arguments.
type MFA struct {
	Module, Function string
	Args             []Term
}

// Ping asks net_kernel whether we are authorized, as net_adm:ping/1 does.
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

// Call makes a remote call as rpc:call/4 does, through the process rex. A
// call that fails on the node gives a *CallError.
func (c *Conn) Call(ctx context.Context, module, function string, args ...Term) (Term, error) {
	return c.call(ctx, func(ctx context.Context) (Term, error) { return c.rex(ctx, module, function, args) })
}

// CallAll makes several remote calls in one request, in order, by
// lists:zipwith3/4 over erlang:apply/3. One that fails on the node fails them
// all.
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

// elements returns the elements of a proper list, also of one that came as a
// String since its elements happened to be bytes.
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

// ERPC makes a remote call as erpc:call/4 does, in a process of its own that the
// node spawns, without going through rex. A call that fails on the node gives
// a *CallError. The function must not print: nobody answers its group leader.
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

// erpcResult reads the exit reason of the process that erpc:execute_call/4 ran in:
// {Ref, return, Result}, {Ref, throw | exit | error, Reason, …}, or that of a
// process that could not be spawned or was killed.
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

// genCall calls a registered process as gen_server:call/2 does, without the
// monitor: the end of the connection is seen anyhow.
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

// parseReply finds the reference and the content of a reply in a frame. A frame
// that holds something else gives a nil reply.
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
		// A pid says that the process runs; its exit reason is the reply.
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

// parseGenReply reads {Ref, Reply}.
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

// call takes the stage Call.
func (c *Conn) call(ctx context.Context, do func(context.Context) (Term, error)) (reply Term, err error) {
	a := attempt{dialer: c.dialer, node: c.node, trace: traceOf(ctx)}
	err = a.run(ctx, StageCall, c.RemoteAddr().String(), c.raw.Received, func(ctx context.Context) error {
		reply, err = do(ctx)
		return err
	})
	return reply, err
}

// withoutExcerpt takes the excerpt out of a MalformedError: after the handshake, a
// message may hold what we sent.
func withoutExcerpt(err error) error {
	var m *MalformedError
	if errors.As(err, &m) {
		return &MalformedError{Message: m.Message, Problem: m.Problem}
	}
	return err
}
