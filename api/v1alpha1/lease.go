package v1alpha1

import coordinationv1 "k8s.io/api/coordination/v1"

// Confirms reports whether a renewal of the Lease of a probe confirms the report in status.mesh: not before
// its holder has reported, which may be another than the one whose report that is. Until then it leaves
// acquireTime empty.
func Confirms(spec coordinationv1.LeaseSpec) bool { return spec.AcquireTime != nil }

// releasedSeconds is the duration of a Lease that was released: nobody waits for its last holder.
const releasedSeconds int32 = 1

// Release releases the Lease of a probe that changes nothing in the nodes any more, so that another
// may begin at once. A Lease whose holder was merely removed is not released.
func Release(spec *coordinationv1.LeaseSpec) {
	seconds := releasedSeconds
	spec.HolderIdentity, spec.LeaseDurationSeconds = nil, &seconds
}

// IsReleased reports whether nobody holds a Lease, and Release was called.
func IsReleased(spec coordinationv1.LeaseSpec) bool {
	isHeld := spec.HolderIdentity != nil && *spec.HolderIdentity != ""
	return !isHeld && spec.LeaseDurationSeconds != nil && *spec.LeaseDurationSeconds == releasedSeconds
}
