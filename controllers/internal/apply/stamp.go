package apply

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/certs/memo"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// markAnnotation holds the mark of an object in the cache. In the API server no object has it.
const markAnnotation = "erlang-operator.dev/mark"

// process is in the marks of this process, so that it believes no others.
var process = rand.Text()

// Mark is what is remembered of an object as it came from the API server: an annotation for the
// cache, which keeps less of the object. The client may pass an object through the cache's
// transformation twice. The first mark stays.
func Mark(object metav1.Object) map[string]string {
	mark, known := object.GetAnnotations()[markAnnotation]
	if !known || !strings.HasPrefix(mark, process) {
		stamp := stampOf(object)
		mark = process + stamp
		if _, isOwn := own.Get(memo.KeyOf([]byte(stamp))); !isOwn {
			mark += fingerprintOf(object)
		}
	}
	return map[string]string{markAnnotation: mark}
}

// own are the stamps of objects as this process has applied them. Of these no fingerprint is needed: it
// would be compared only with that of another configuration.
var own = memo.Memo[struct{}]{Size: 4096}

// markOf is the stamp and the fingerprint of an object in the cache.
func markOf(cached metav1.Object) (stamp, fingerprint string) {
	mark, known := strings.CutPrefix(cached.GetAnnotations()[markAnnotation], process)
	if !known {
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

// stampOf changes with the content of an object, its labels and its controller, but not with
// its status, which others write all the time. One that was deleted and created again has
// another, though both may be of the first generation.
func stampOf(object metav1.Object) string {
	var controller types.UID
	if owner := metav1.GetControllerOfNoCopy(object); owner != nil {
		controller = owner.UID
	}
	return stamp(object.GetUID(), object.GetGeneration(), object.GetResourceVersion(), object.GetLabels(), controller)
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
	return shortDigest(text)
}

// digestLength is that of a shortDigest, which has 128 bits.
const digestLength = 22

func shortDigest(text []byte) string {
	digest := sha256.Sum256(text)
	return base64.RawStdEncoding.EncodeToString(digest[:16])
}
