package verify

import (
	"context"
	"slices"
	"sync"
	"time"
)

// rememberedFor is how long DNS is not asked again for a host for which it had what Kubernetes
// publishes. CoreDNS remembers its own answers for as long.
const rememberedFor = 30 * time.Second

// Lookups are those of DNS that agreed with what Kubernetes publishes. While nodes start each is
// tried again and again, many at once, and DNS would be asked each time. The zero Lookups has none.
type Lookups struct {
	mutex sync.Mutex
	found map[string]lookup
}

type lookup struct {
	addresses, published []string
	at                   time.Time
}

// resolve finds the addresses of a host, of which some are published. What DNS says otherwise, or
// of other addresses than those of now, is not remembered.
func (l *Lookups) resolve(ctx context.Context, host string, published []string, ask func(context.Context, string) ([]string, error)) ([]string, error) {
	slices.Sort(published)
	if known := l.of(host); time.Since(known.at) < rememberedFor && slices.Equal(known.published, published) {
		return known.addresses, nil
	}
	addresses, err := ask(ctx, host)
	other := func(address string) bool { return !slices.Contains(published, address) }
	if err == nil && !slices.ContainsFunc(addresses, other) {
		l.remember(host, lookup{addresses, published, time.Now()})
	}
	return addresses, err
}

func (l *Lookups) of(host string) lookup {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.found[host]
}

func (l *Lookups) remember(host string, answer lookup) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.found == nil {
		l.found = map[string]lookup{}
	}
	l.found[host] = answer
}

// Forget has DNS asked again for a host: its node no longer answers, and its pod may have another
// address than the one that was published when the sweep began.
func (l *Lookups) Forget(host string) {
	if l == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.found, host)
}
