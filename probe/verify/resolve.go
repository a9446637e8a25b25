package verify

import (
	"context"
	"errors"
	"net"
	"time"
)

// families are the address families of a network.
var families = map[string][]string{"tcp4": {"ip4"}, "tcp6": {"ip6"}, "": {"ip4", "ip6"}}

// resolve finds the addresses of a target's host: by Resolve, or else by DNS.
func (v *Verifier) resolve(target Target) func(ctx context.Context, host string) ([]string, error) {
	resolve := v.Resolve
	if resolve == nil {
		resolve = v.resolveByDNS(target)
	}
	if v.Lookups == nil || v.Located == nil {
		return resolve
	}
	return func(ctx context.Context, host string) ([]string, error) {
		return v.Lookups.resolve(ctx, host, v.Located(host), resolve)
	}
}

func (v *Verifier) resolveByDNS(target Target) func(ctx context.Context, host string) ([]string, error) {
	return func(ctx context.Context, host string) ([]string, error) {
		if v.Published != nil && !v.Published(ctx, host) {
			return nil, &net.DNSError{Err: "no EndpointSlice has it", Name: host, IsNotFound: true}
		}
		if v.FullNames {
			host += "." // Otherwise a name that does not exist is looked up in every search domain.
		}
		return lookUp(ctx, net.DefaultResolver, families[target.Network], host, v.Limits.Resolve)
	}
}

// lookUp asks for the families that are needed, each by itself: a lost answer about one must
// not make it look as if there were no record of the other. Not found is only what a server
// said of all.
func lookUp(ctx context.Context, resolver *net.Resolver, families []string, host string, limit time.Duration) (addresses []string, err error) {
	for _, family := range families {
		found, failed := lookUpFamily(ctx, resolver, family, host, limit/time.Duration(len(families)))
		addresses = append(addresses, found...)
		if failed != nil && (err == nil || !isNotFound(failed)) {
			err = failed
		}
	}
	if len(addresses) > 0 {
		return addresses, nil
	}
	return nil, err
}

// lookUpFamily asks again until the limit is over. An attempt takes no more than half of it:
// a lost packet is repeated by the system's resolver only after 5 s.
func lookUpFamily(ctx context.Context, resolver *net.Resolver, family, host string, limit time.Duration) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		found, err := attemptLookUp(ctx, resolver, family, host, limit/2)
		if err == nil || isNotFound(err) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(limit / 20): // A server that restarts refuses at once.
		}
	}
}

func attemptLookUp(ctx context.Context, resolver *net.Resolver, family, host string, limit time.Duration) (addresses []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := resolver.LookupNetIP(ctx, family, host)
	for _, address := range found {
		addresses = append(addresses, address.Unmap().String())
	}
	return addresses, err
}

func isNotFound(err error) bool {
	failed := new(net.DNSError)
	return errors.As(err, &failed) && failed.IsNotFound
}
