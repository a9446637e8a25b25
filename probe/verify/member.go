package verify

import (
	"fmt"
	"strconv"
)

// oldestRelease is the oldest release of OTP that can be a member: the TLS options of the
// nodes, and what is known of how links behave, are for it and later ones.
const oldestRelease = 25

// hiddenError is about a node that does not publish itself.
type hiddenError struct{}

func (hiddenError) Error() string { return "the node is hidden" }

// releaseError is about a node of another release of OTP than a member may have.
type releaseError struct{ release string }

func (e releaseError) Error() string {
	return fmt.Sprintf("the node runs OTP %q, older than %d", e.release, oldestRelease)
}

// checkMember returns an error for a node that answers every call and yet cannot be a member
// of a mesh.
func checkMember(info Info) error {
	if release, err := strconv.Atoi(info.OTPRelease); err != nil || release < oldestRelease {
		return releaseError{info.OTPRelease}
	}
	if info.Hidden {
		return hiddenError{}
	}
	return nil
}
