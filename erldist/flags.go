package erldist

import (
	"fmt"
	"math/bits"
	"strings"
)

// Flags are the distribution flags that nodes exchange in the handshake, named as in
// kernel/include/dist.hrl without the prefix DFLAG_ (erl_dist_protocol, "Distribution
// Flags").
type Flags uint64

// The flags of dist.hrl that are relevant to a client.
const (
	FlagPublished          Flags = 0x1 // not set: a hidden node
	FlagExtendedReferences Flags = 0x4
	FlagDistMonitor        Flags = 0x8
	FlagFunTags            Flags = 0x10
	FlagDistMonitorName    Flags = 0x20
	FlagNewFunTags         Flags = 0x80
	FlagExtendedPidsPorts  Flags = 0x100
	FlagExportPtrTag       Flags = 0x200
	FlagBitBinaries        Flags = 0x400
	FlagNewFloats          Flags = 0x800
	FlagDistHdrAtomCache   Flags = 0x2000
	FlagUTF8Atoms          Flags = 0x10000
	FlagMapTag             Flags = 0x20000
	FlagBigCreation        Flags = 0x40000
	FlagFragments          Flags = 0x800000
	FlagHandshake23        Flags = 0x1000000
	FlagUnlinkID           Flags = 0x2000000
	FlagMandatory25Digest  Flags = 0x4000000 // implies all flags that OTP 25 made mandatory
	FlagSpawn              Flags = 1 << 32
	FlagNameMe             Flags = 1 << 33
	FlagV4NC               Flags = 1 << 34
)

const (
	// mandatoryFlags are the flags that this package needs of a peer. OTP 25 and later
	// have all of them.
	mandatoryFlags = FlagExtendedReferences | FlagFunTags | FlagNewFunTags |
		FlagExtendedPidsPorts | FlagExportPtrTag | FlagBitBinaries | FlagNewFloats |
		FlagUTF8Atoms | FlagMapTag | FlagBigCreation | FlagHandshake23

	// offeredFlags are the flags of this client: those that OTP 25 to 29 require, a dynamic
	// name, and what erpc needs. Without FlagDistMonitorName the node does not send the
	// exit signal that carries erpc's result. Without the atom cache and fragments,
	// messages are self-contained.
	offeredFlags = mandatoryFlags | FlagUnlinkID | FlagMandatory25Digest | FlagV4NC |
		FlagNameMe | FlagSpawn | FlagDistMonitor | FlagDistMonitorName
)

var flagNames = map[Flags]string{
	FlagPublished: "PUBLISHED", FlagExtendedReferences: "EXTENDED_REFERENCES",
	FlagDistMonitor: "DIST_MONITOR", FlagFunTags: "FUN_TAGS", FlagDistMonitorName: "DIST_MONITOR_NAME",
	FlagNewFunTags: "NEW_FUN_TAGS", FlagExtendedPidsPorts: "EXTENDED_PIDS_PORTS",
	FlagExportPtrTag: "EXPORT_PTR_TAG", FlagBitBinaries: "BIT_BINARIES", FlagNewFloats: "NEW_FLOATS",
	FlagDistHdrAtomCache: "DIST_HDR_ATOM_CACHE", FlagUTF8Atoms: "UTF8_ATOMS", FlagMapTag: "MAP_TAG",
	FlagBigCreation: "BIG_CREATION", FlagFragments: "FRAGMENTS", FlagHandshake23: "HANDSHAKE_23",
	FlagUnlinkID: "UNLINK_ID", FlagMandatory25Digest: "MANDATORY_25_DIGEST", FlagSpawn: "SPAWN",
	FlagNameMe: "NAME_ME", FlagV4NC: "V4_NC",
}

// String returns the names of the flags, in hexadecimal if they have none here.
func (f Flags) String() string {
	var names []string
	for rest := f; rest != 0; {
		bit := Flags(1) << bits.TrailingZeros64(uint64(rest))
		rest &^= bit
		name, ok := flagNames[bit]
		if !ok {
			name = fmt.Sprintf("0x%x", uint64(bit))
		}
		names = append(names, name)
	}
	return strings.Join(names, "|")
}

// expand adds the flags that FlagMandatory25Digest implies.
func (f Flags) expand() Flags {
	if f&FlagMandatory25Digest != 0 {
		f |= mandatoryFlags
	}
	return f
}

// missing returns the mandatory flags that a peer with these flags lacks.
func (f Flags) missing() Flags { return mandatoryFlags &^ f.expand() }
