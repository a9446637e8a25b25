package apply

import (
	"crypto/sha256"
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// memory is what was last applied to each object of a cluster. A cluster is reconciled
// by one worker at a time.
type memory map[objectID]applied

type objectID struct{ kind, name string }

// applied is a configuration, and the stamp of the object that it resulted in. While the
// object has that stamp, applying the same again would change nothing, and is skipped.
type applied struct {
	stamp      string
	generation int64
	digest     [sha256.Size]byte
}

func (a *Applier) remembered(observed state.State) memory {
	known, _ := a.memories.LoadOrStore(client.ObjectKeyFromObject(observed.Cluster), memory{})
	return known.(memory)
}

// IsAhead reports whether the StatefulSet was changed after it was observed.
func (a *Applier) IsAhead(observed state.State) bool {
	set := observed.StatefulSet
	return set != nil && a.remembered(observed)[objectID{"StatefulSet", set.Name}].generation > set.Generation
}

// Forget drops what is remembered of a deleted cluster.
func (a *Applier) Forget(cluster types.NamespacedName) {
	a.memories.Delete(cluster)
	a.contests.Delete(cluster)
}

// digestOf is of all that a configuration has: the owner's UID too, so that of a namesake differs.
func digestOf(configuration plan.Configuration) (digest [sha256.Size]byte, err error) {
	hash := sha256.New()
	err = json.NewEncoder(hash).Encode(configuration)
	hash.Sum(digest[:0])
	return digest, err
}
