// Package erldist is a client of the Erlang distribution protocol. It finds a node
// through EPMD, connects to it as a hidden node over TCP or mutual TLS, proves the
// cookie in both directions and makes remote calls.
//
// It is for programs that verify and maintain Erlang clusters from outside. A [Conn]
// is hidden (it never appears in nodes()) and asks the peer for a dynamic name
// (DFLAG_NAME_ME). Such a name cannot collide with a member's, and the peer reuses it
// after the connection has ended, so the number of atoms that the peer creates is
// bounded by the number of simultaneous connections. A name of the caller's choice is
// not supported.
//
//	d := erldist.Dialer{
//		Cookie: erldist.NewCookie(secret),
//		TLS:    erldist.ClientTLS(roots, certificate),
//	}
//	conn, err := d.Dial(ctx, "chat@chat-0.chat.default.svc.cluster.local")
//	if err != nil {
//		return err // *StageError: which stage, which address, which cause
//	}
//	defer conn.Close()
//	nodes, err := conn.Call(ctx, "erlang", "nodes")
//
// # Stages
//
// A connection is made in [Stage]s, and every error is a [*StageError] that
// names the one that failed and wraps its cause. Causes are types or sentinel values:
// [ErrNotRegistered], [*StatusError], [ErrCookieRejected],
// [ErrPeerCookie], [*NameMismatchError], [*FlagsError], [*AlertError],
// [*MalformedError], [*TimeoutError], the errors of crypto/tls, crypto/x509 and
// net. [WithTrace] shows each stage and its duration as it happens.
//
// # Protocol
//
// The package implements the initiating side of handshake version 6
// (OTP 23 and later; OTP 25 and later are tried), as described in the
// "Distribution Protocol" chapter of the ERTS User's Guide (erl_dist_protocol)
// and in kernel's dist_util.erl; EPMD's PORT_PLEASE2_REQ and NAMES_REQ (the same
// chapter, "EPMD Protocol", and erl_epmd.erl); and the part of the "External
// Term Format" chapter (erl_ext_dist) that the calls need.
//
// The documentation omits that framing differs between the carriers: plain TCP has
// two-byte lengths during the handshake and four-byte lengths after it; TLS has
// four-byte lengths throughout (ssl's inet_tls_dist.erl
// sets {packet,4} on the socket before the handshake).
//
// # Hostile peers
//
// Memory is bounded whatever a peer sends. A length field never makes the package
// allocate more than 64 KiB in advance; beyond that, buffers grow only with the bytes
// that have arrived. Frames are limited by [Dialer].MaxFrame,
// handshake messages and EPMD's answers by constants, the nesting of terms by
// [MaxDepth]. A decoded term takes at most 32 times the memory of its encoding.
//
// # Secrets
//
// The cookie is held in a [Cookie], which every printing verb and encoder redacts.
// Errors never contain cookies, challenges, digests, keys or the arguments and results
// of calls.
package erldist
