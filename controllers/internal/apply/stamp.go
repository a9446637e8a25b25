package apply

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/certs/memo"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// Mark notes in an object for the cache, which keeps less of it, what is remembered of it as it came
// from the API server: in metadata.selfLink, which the API server never has, whoever writes it. An
// annotation would take a map of 300 bytes for each object. The client may pass an object through the
// cache's transformation twice. The first mark stays.
func Mark(object metav1.Object) {
	if object.GetSelfLink() != "" {
		return
	}
	stamp, fingerprint := stampOf(object), ""
	if _, isOwn := own.Get(memo.KeyOf([]byte(stamp))); !isOwn {
		fingerprint = fingerprintOf(object)
	}
	object.SetSelfLink(stamp + fingerprint)
}

// own are the stamps of objects as this process has applied them. Of these no fingerprint is needed: it
// would be compared only with that of another configuration.
var own = memo.Memo[struct{}]{Size: 4096}

// markOf is the stamp and the fingerprint of an object in the cache.
func markOf(cached metav1.Object) (stamp, fingerprint string) {
	mark := cached.GetSelfLink()
	if len(mark) < digestLength {
		return stampOf(cached), fingerprintOf(cached)
	}
	return mark[:digestLength], mark[digestLength:]
}

// isAsApplied reports whether an object in the cache is as after an apply of a configuration,
// which was the last one that this process applied, or has left the same.
func isAsApplied(cached metav1.Object, configuration plan.Configuration, last applied, digest [sha256.Size]byte) bool {
	stamp, fingerprint := markOf(cached)
	if last.stamp == stamp && last.digest == digest {
		return true
	}
	return fingerprint != "" && fingerprint == appliedFingerprint(configuration)
}

// stampOf changes with the content of an object, its labels and what it says of its controller, but
// not with its status, which others write all the time. One that was deleted and created again has
// another, though both may be of the first generation.
func stampOf(object metav1.Object) string {
	labels, version := object.GetLabels(), object.GetResourceVersion()
	if labels == nil {
		labels = map[string]string{}
	}
	if generation := object.GetGeneration(); generation != 0 { // Not every kind has generations.
		version = "generation " + strconv.FormatInt(generation, 10)
	}
	text, _ := json.Marshal([]any{object.GetUID(), version, labels, controllers(object)}) // They always have a JSON form.
	return shortDigest(text)
}

// controllers are the references to the controller of an object: one, unless others have added to it.
func controllers(object metav1.Object) (references []metav1.OwnerReference) {
	controller := metav1.GetControllerOfNoCopy(object)
	for _, owner := range object.GetOwnerReferences() {
		if controller != nil && owner.UID == controller.UID {
			references = append(references, owner)
		}
	}
	return references
}

// stampOfAnswer is the stamp of an object that the API server has answered with.
func stampOfAnswer(metadata *applymeta.ObjectMetaApplyConfiguration) string {
	answer := &metav1.ObjectMeta{UID: ptr.Deref(metadata.UID, ""), Generation: ptr.Deref(metadata.Generation, 0),
		ResourceVersion: ptr.Deref(metadata.ResourceVersion, ""), Labels: metadata.Labels}
	for _, owner := range metadata.OwnerReferences {
		answer.OwnerReferences = append(answer.OwnerReferences, metav1.OwnerReference{
			APIVersion: ptr.Deref(owner.APIVersion, ""), Kind: ptr.Deref(owner.Kind, ""), Name: ptr.Deref(owner.Name, ""), UID: ptr.Deref(owner.UID, ""),
			Controller: owner.Controller, BlockOwnerDeletion: owner.BlockOwnerDeletion})
	}
	return stampOf(answer)
}

// digestLength is that of a shortDigest, which has 128 bits.
const digestLength = 22

func shortDigest(text []byte) string {
	digest := sha256.Sum256(text)
	return base64.RawStdEncoding.EncodeToString(digest[:16])
}
