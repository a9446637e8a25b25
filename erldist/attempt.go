package erldist

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// attempt is one pass through the stages.
type attempt struct {
	dialer *Dialer
	node   string
	trace  *Trace
}

// run runs a stage within its time limit, reports it to the trace and wraps its error
// in a StageError. received may be nil.
func (a *attempt) run(ctx context.Context, stage Stage, address string, received func() int64, step func(context.Context) error) error {
	if a.trace.StageStart != nil {
		a.trace.StageStart(stage, address)
	}
	start := time.Now()
	limited, cancel := a.limit(ctx, stage)
	err := step(limited)
	took := time.Since(start)
	if err != nil {
		failed := a.failure(limited, stage, address, took, err)
		if received != nil {
			failed.Received = received()
		}
		err = failed
	}
	cancel()
	if a.trace.StageDone != nil {
		a.trace.StageDone(StageReport{Stage: stage, Address: address, Start: start, Duration: took, Err: err})
	}
	return err
}

// limit returns a context with the stage's time limit.
func (a *attempt) limit(ctx context.Context, stage Stage) (context.Context, context.CancelFunc) {
	if limit := a.dialer.Timeouts[stage]; limit > 0 {
		return context.WithTimeout(ctx, limit)
	}
	return ctx, func() {}
}

// failure wraps an error in a StageError, and replaces alerts, timeouts and
// cancellations by types that callers can distinguish.
func (a *attempt) failure(ctx context.Context, stage Stage, address string, took time.Duration, err error) *StageError {
	if n, ok := alertNumber(err); ok {
		err = &AlertError{Number: n}
		if stage == StageHandshake {
			stage = StageTLS
		}
	} else if errors.Is(ctx.Err(), context.Canceled) && (isTimeout(err) || errors.Is(err, context.Canceled)) {
		err = context.Canceled
	} else if isTimeout(err) {
		err = &TimeoutError{After: took}
	}
	return &StageError{Stage: stage, Node: a.node, Address: address, Err: err}
}

func (a *attempt) resolve(ctx context.Context, host string) (addresses []string, err error) {
	err = a.run(ctx, StageResolve, host, nil, func(ctx context.Context) error {
		addresses, err = a.dialer.resolve(ctx, host)
		return err
	})
	if err == nil && a.trace.Resolved != nil {
		a.trace.Resolved(addresses)
	}
	return addresses, err
}

// resolve returns at least one address, or an error.
func (d *Dialer) resolve(ctx context.Context, host string) ([]string, error) {
	resolve := d.Resolve
	if resolve == nil {
		resolve = net.DefaultResolver.LookupHost
	}
	addresses := []string{host}
	if _, err := netip.ParseAddr(host); err != nil {
		if addresses, err = resolve(ctx, host); err != nil {
			return nil, err
		}
	}
	fitting := slices.DeleteFunc(slices.Clone(addresses), func(address string) bool { return !d.fits(address) })
	if len(fitting) == 0 {
		return nil, &net.DNSError{Err: "no address for " + d.network(), Name: host, IsNotFound: true}
	}
	return fitting, nil
}

// connect tries the addresses in turn, within the time limit of one stage, and returns
// the first error if all of them fail.
func (a *attempt) connect(ctx context.Context, stage Stage, addresses []string, port uint16) (conn *countingConn, address string, err error) {
	ctx, cancel := a.limit(ctx, stage)
	defer cancel()
	for i, ip := range addresses {
		c, e := a.connectWithin(ctx, len(addresses)-i, stage, net.JoinHostPort(ip, strconv.Itoa(int(port))))
		if e == nil {
			return c, ip, nil
		}
		if err == nil {
			err = e
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", err
}

// connectWithin gives an address an equal share of the time that is left for the
// candidates.
func (a *attempt) connectWithin(ctx context.Context, candidates int, stage Stage, address string) (*countingConn, error) {
	if end, ok := ctx.Deadline(); ok && candidates > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(candidates))
		defer cancel()
	}
	return a.connectTo(ctx, stage, address)
}

func (a *attempt) connectTo(ctx context.Context, stage Stage, address string) (*countingConn, error) {
	dial := a.dialer.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	var conn net.Conn
	err := a.run(ctx, stage, address, nil, func(ctx context.Context) (err error) {
		conn, err = dial(ctx, a.dialer.network(), address)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn}, nil
}

// talk runs a stage on an open connection, whose reads and writes fail as soon as the
// context ends.
func (a *attempt) talk(ctx context.Context, stage Stage, conn *countingConn, step func() error) error {
	return a.run(ctx, stage, conn.RemoteAddr().String(), conn.Received, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })
		defer stop()
		return step()
	})
}

// longAgo is a deadline that ends reads and writes at once.
var longAgo = time.Unix(1, 0)
