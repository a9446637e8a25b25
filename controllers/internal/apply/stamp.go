package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"
)

// StampAnnotation holds the stamp of an object in the cache, whose labels are not kept. In the
// API server no object has it.
const StampAnnotation = "erlang-operator.dev/stamp"

// Stamp changes with the content of an object, its labels and its controller, but not with
// its status, which others write all the time. One that was deleted and created again has
// another, though both may be of the first generation.
func Stamp(object metav1.Object) string {
	var controller types.UID
	if owner := metav1.GetControllerOfNoCopy(object); owner != nil {
		controller = owner.UID
	}
	return stamp(object.GetUID(), object.GetGeneration(), object.GetResourceVersion(), object.GetLabels(), controller)
}

func stampOf(cached metav1.Object) string {
	if stamp, ok := cached.GetAnnotations()[StampAnnotation]; ok {
		return stamp
	}
	return Stamp(cached)
}

// stampOfAnswer is the stamp of an object that the API server has answered with.
func stampOfAnswer(metadata *applymeta.ObjectMetaApplyConfiguration) string {
	var controller types.UID
	for _, owner := range metadata.OwnerReferences {
		if ptr.Deref(owner.Controller, false) {
			controller = ptr.Deref(owner.UID, "")
		}
	}
	return stamp(ptr.Deref(metadata.UID, ""), ptr.Deref(metadata.Generation, 0), ptr.Deref(metadata.ResourceVersion, ""), metadata.Labels, controller)
}

// stamp has the generation of an object, or its version if its kind has no generations.
func stamp(uid types.UID, generation int64, version string, labels map[string]string, controller types.UID) string {
	if generation != 0 {
		version = "generation " + strconv.FormatInt(generation, 10)
	}
	if labels == nil {
		labels = map[string]string{}
	}
	text, _ := json.Marshal([]any{uid, version, labels, controller}) // Strings always have a JSON form.
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}
