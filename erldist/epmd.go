package erldist

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Registration is what EPMD knows about a node: PORT2_RESP in the section "EPMD
// Protocol" of erl_dist_protocol.
type Registration struct {
	Name            string // the part before the '@'
	Port            uint16 // of the distribution
	Type            byte   // 77 'M': ordinary node, 72 'h': hidden node
	Protocol        byte   // 0: TCP, with TLS or without
	Highest, Lowest uint16 // distribution versions
	Extra           []byte
}

// RegisteredName is a line of EPMD's answer to NAMES_REQ (erl_dist_protocol, "EPMD
// Protocol").
type RegisteredName struct {
	Name string
	Port uint16
}

const (
	epmdPort        = 4369
	epmdPortPlease2 = 122
	epmdPort2Resp   = 119
	epmdNames       = 110

	// A node's name is an atom of at most 255 characters.
	maxNameBytes = 4 * 255
	// maxNamesAnswer is enough for a machine with thousands of nodes.
	maxNamesAnswer = 1 << 20
)

// askPort sends PORT_PLEASE2_REQ and reads the answer.
func askPort(conn io.ReadWriter, name string) (Registration, error) {
	if err := sendEPMD(conn, append([]byte{epmdPortPlease2}, name...)); err != nil {
		return Registration{}, err
	}
	reg, err := readPort2Resp(bufio.NewReader(conn))
	if err != nil {
		return Registration{}, err
	}
	if reg.Name != name {
		return Registration{}, &NameMismatchError{Want: name, Got: reg.Name}
	}
	return reg, nil
}

// readPort2Resp reads
//
//	119 Result:8 [Port:16 Type:8 Protocol:8 Highest:16 Lowest:16 NameLen:16 Name ExtraLen:16 Extra]
//
// where everything after a Result other than 0 is omitted.
func readPort2Resp(r io.Reader) (Registration, error) {
	m := messageReader{message: "PORT2_RESP", r: r}
	if tag := m.uint8("tag"); m.err == nil && tag != epmdPort2Resp {
		m.fail("tag %d instead of %d", tag, epmdPort2Resp)
	}
	if result := m.uint8("result"); m.err == nil && result != 0 {
		return Registration{}, fmt.Errorf("%w (result %d)", ErrNotRegistered, result)
	}
	reg := Registration{
		Port: m.uint16("port"), Type: m.uint8("node type"), Protocol: m.uint8("protocol"),
		Highest: m.uint16("highest version"), Lowest: m.uint16("lowest version"),
	}
	name := m.bytes("name", int(m.uint16("name length")), maxNameBytes)
	reg.Name = string(name)
	reg.Extra = m.bytes("extra", int(m.uint16("extra length")), 1<<16)
	if m.err == nil && reg.Port == 0 {
		m.fail("port 0")
	}
	if m.err != nil {
		return Registration{}, m.err
	}
	return reg, nil
}

// askNames sends NAMES_REQ and reads the answer.
func askNames(conn io.ReadWriter) ([]RegisteredName, error) {
	if err := sendEPMD(conn, []byte{epmdNames}); err != nil {
		return nil, err
	}
	return readNamesResp(conn)
}

// readNamesResp reads EPMD's own port in four bytes and then, until the
// connection is closed, lines of the form "name app at port 9100".
func readNamesResp(r io.Reader) ([]RegisteredName, error) {
	answer, err := io.ReadAll(io.LimitReader(r, maxNamesAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) > maxNamesAnswer:
		return nil, malformed("NAMES_RESP", answer, "longer than %d bytes", maxNamesAnswer)
	case len(answer) < 4:
		return nil, malformed("NAMES_RESP", answer, "ends after %d of at least 4 bytes", len(answer))
	}
	names := []RegisteredName{}
	for line := range bytes.Lines(answer[4:]) {
		text := strings.TrimRight(string(line), "\n\x00")
		if text == "" {
			continue
		}
		name, err := parseNamesLine(text)
		if err != nil {
			return nil, malformed("NAMES_RESP", line, "%v", err)
		}
		names = append(names, name)
	}
	return names, nil
}

func parseNamesLine(line string) (RegisteredName, error) {
	name, port, ok := strings.Cut(strings.TrimPrefix(line, "name "), " at port ")
	if !ok || !strings.HasPrefix(line, "name ") || name == "" {
		return RegisteredName{}, errors.New(`a line is not "name … at port …"`)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return RegisteredName{}, errors.New("a port is not a number from 1 to 65535")
	}
	return RegisteredName{Name: name, Port: uint16(n)}, nil
}

func sendEPMD(w io.Writer, request []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request...))
	return err
}

// Lookup asks EPMD on the node's host for the node's distribution port
// (PORT_PLEASE2_REQ, as erl_epmd:port_please/2 of kernel does): stages Resolve, Connect
// and Lookup.
func (d *Dialer) Lookup(ctx context.Context, node string) (Registration, error) {
	name, host, err := SplitNodeName(node)
	if err != nil {
		return Registration{}, &StageError{Stage: StageResolve, Node: node, Address: node, Err: err}
	}
	a := attempt{dialer: d, node: node, trace: traceOf(ctx)}
	addresses, err := a.resolve(ctx, host)
	if err != nil {
		return Registration{}, err
	}
	reg, _, err := a.lookup(ctx, addresses, name)
	return reg, err
}

// Names returns the nodes registered with the EPMD of a host (NAMES_REQ, as
// erl_epmd:names/1 of kernel does): stages Resolve, Connect and Lookup.
func (d *Dialer) Names(ctx context.Context, host string) ([]RegisteredName, error) {
	a := attempt{dialer: d, node: host, trace: traceOf(ctx)}
	addresses, err := a.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var names []RegisteredName
	_, err = a.askEPMD(ctx, addresses, func(epmd io.ReadWriter) (err error) {
		names, err = askNames(epmd)
		return err
	})
	return names, err
}

// lookup returns the node's registration and the address of the EPMD that returned it,
// which is also the node's.
func (a *attempt) lookup(ctx context.Context, addresses []string, name string) (reg Registration, address string, err error) {
	address, err = a.askEPMD(ctx, addresses, func(epmd io.ReadWriter) (err error) {
		reg, err = askPort(epmd, name)
		return err
	})
	if err == nil && a.trace.Registered != nil {
		a.trace.Registered(reg)
	}
	return reg, address, err
}

// askEPMD sends a request to EPMD on a new connection, because EPMD closes it after one
// answer, and returns the address that answered.
func (a *attempt) askEPMD(ctx context.Context, addresses []string, question func(io.ReadWriter) error) (address string, err error) {
	conn, address, err := a.connect(ctx, StageConnect, addresses, a.dialer.epmdPort())
	if err != nil {
		return "", err
	}
	err = a.talk(ctx, StageLookup, conn, func() error { return question(conn) })
	_ = conn.Close() // EPMD has closed it
	return address, err
}

// SplitNodeName splits a node's name into the parts before and after the '@', as
// dist_util:split_node/1 of kernel does.
func SplitNodeName(node string) (name, host string, err error) {
	name, host, ok := strings.Cut(node, "@")
	if !ok || name == "" || host == "" || strings.Contains(host, "@") || len(node) > maxNameBytes {
		return "", "", &net.AddrError{Err: "a node's name has the form name@host", Addr: node}
	}
	return name, host, nil
}
