package rotation

import (
	"bytes"
	"fmt"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// CookieStep is what the rotation of the cookie needs in this pass.
type CookieStep struct {
	Step
	// Cookie that the Secret shall hold, and the Former one, if nodes may still run with
	// that; both nil while the Secret stays as it is.
	Cookie, Former []byte
	// RotationID that the Cookie is drawn for.
	RotationID string
}

// NextCookie takes the nodes from the cookie that there is to the imported one, or to a
// fresh one when the spec asks for a rotation. The probe takes each node over; nodes that
// start have the new one already.
func NextCookie(s state.State, imported, fresh []byte) CookieStep {
	r := cookie{State: s, imported: imported}
	step := CookieStep{Step: next(v1alpha1.RotatingCookie,
		condition{v1alpha1.RotationRestoringCookie, r.edited},
		// Never on top of another trouble: two cookies at a time are what the probe can
		// bring together.
		condition{v1alpha1.RotationAwaitingNodes, r.notVerifiedBefore},
		condition{v1alpha1.RotationDistributingCookie, r.notDistributed},
		condition{v1alpha1.RotationChangingCookie, r.notVerifiedAfter},
		condition{v1alpha1.RotationDroppingCookie, r.notDropped},
	)}
	switch step.Phase {
	case v1alpha1.RotationRestoringCookie:
		step.Cookie, step.Former, step.RotationID = s.WrittenCookie(), r.leftBehind(), r.drawnFor()
	case v1alpha1.RotationDistributingCookie:
		step.Cookie, step.Former, step.RotationID = fresh, s.Cookie(), s.Cluster.Spec.Cookie.RotationID
		if imported != nil {
			step.Cookie = imported
		}
	case v1alpha1.RotationDroppingCookie:
		step.Cookie, step.RotationID = s.Cookie(), r.drawnFor()
	}
	return step
}

// cookie is the rotation of the cookie as it is observed.
type cookie struct {
	state.State
	imported []byte
}

func (r cookie) edited() string {
	if !r.CookieEdited() {
		return ""
	}
	return "the cookie that the nodes run with to be put back, because somebody has edited the Secret"
}

// leftBehind is the other cookie that nodes may run with when the Secret was edited: the
// former one of the rotation that was under way, or the edited one.
func (r cookie) leftBehind() []byte {
	if r.distributed() {
		return r.FormerCookie()
	}
	if naming.CheckCookie(r.Cookie()) != nil {
		return nil
	}
	return r.Cookie()
}

func (r cookie) notVerifiedBefore() string {
	pod, unproven := r.Unproven()
	switch {
	case r.distributed() || !r.requested() || r.StatefulSet == nil:
		return ""
	case unproven:
		return fmt.Sprintf("%s to be verified with the cookie that it has", pod)
	case r.Replicas() > 0 && r.ProbeIsSilent():
		// The files would change, and no node would follow.
		return "the probe to report: it changes the cookie of the nodes"
	}
	return ""
}

func (r cookie) notDistributed() string {
	if r.distributed() || !r.requested() {
		return ""
	}
	return "the new cookie to be distributed beside the one that every node is verified with"
}

func (r cookie) notVerifiedAfter() string {
	pod, unproven := r.Unproven()
	if !r.distributed() || !unproven {
		return ""
	}
	if node := r.Node(pod); node != nil && node.FormerCookie {
		return fmt.Sprintf("the file %s of %s to have the new cookie: its kubelet updates that file", naming.CookieFile, pod)
	}
	return fmt.Sprintf("%s to be verified with the new cookie", pod)
}

func (r cookie) notDropped() string {
	if !r.distributed() {
		return ""
	}
	return "the former cookie to be dropped, because every node is verified with the new one"
}

// distributed reports whether the Secret holds two cookies: some node may still run with
// the former one.
func (r cookie) distributed() bool { return r.FormerCookie() != nil }

// requested reports whether the spec, or the user's Secret, asks for another cookie than
// the nodes run with.
func (r cookie) requested() bool {
	if r.imported != nil {
		return !bytes.Equal(r.imported, r.Cookie())
	}
	id := r.Cluster.Spec.Cookie.RotationID
	return id != "" && id != r.drawnFor()
}

// drawnFor is the cookie.rotationID that the cookie of now was drawn for.
func (r cookie) drawnFor() string {
	return r.Secrets[r.Names.CookieSecret()].Annotations[naming.RotationAnnotation]
}
