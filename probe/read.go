package probe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// desired is what should be true of a cluster: its members, and what they are verified
// with.
type desired struct {
	generation  int64
	suspended   bool
	formation   v1alpha1.Formation
	names       naming.Names
	members     []sweep.Member
	credentials verify.Credentials
	published   sightings
	// cookieVersion is the version of the cookie's Secret.
	cookieVersion string
	// canaryError is why there is no canary, though there should be one. The nodes are
	// verified all the same.
	canaryError error
}

// reader reads the credentials, each from the cache in which it is watched.
type reader struct {
	domain                                    string
	cookie, certificate, canary, distribution client.Reader
	endpoints                                 *endpoints // nil if the nodes are not found by DNS
	parsed                                    parsed
}

// parsed are the credentials that were parsed last, and the versions of their objects.
type parsed struct {
	versions    [4]string
	credentials verify.Credentials
	canaryError error
}

// read returns what should be true now. An error names the credential that is missing or
// cannot be used.
func (r *reader) read(ctx context.Context, cluster *v1alpha1.ErlangCluster, previous *v1alpha1.MeshStatus) (desired, error) {
	names := naming.Of(cluster, r.domain)
	cookieVersion, err := r.readCredentials(ctx, names)
	if err != nil {
		return desired{}, err
	}
	published, err := r.endpoints.read(ctx)
	if err != nil {
		return desired{}, err
	}
	return desired{
		generation: cluster.Generation, suspended: cluster.Spec.Suspend, formation: cluster.Spec.Distribution.Formation,
		names: names, members: members(cluster, names, previous, cookieVersion, published), published: published,
		credentials: r.parsed.credentials, cookieVersion: cookieVersion, canaryError: r.parsed.canaryError,
	}, nil
}

// readCredentials reads the credentials, and parses them if they are others than before. There
// need not be a canary, and one that cannot be read keeps no node from being verified.
func (r *reader) readCredentials(ctx context.Context, names naming.Names) (cookieVersion string, err error) {
	var cookie, certificate, canary corev1.Secret
	var distribution corev1.ConfigMap
	var versions [4]string
	var canaryError error
	for i, wanted := range []struct {
		reader client.Reader
		kind   string
		name   string
		into   client.Object
	}{
		{r.cookie, "Secret", names.CookieSecret(), &cookie},
		{r.certificate, "Secret", names.Certificate(names.Probe()), &certificate},
		{r.distribution, "ConfigMap", names.Distribution(), &distribution},
		{r.canary, "Secret", names.Certificate(names.Canary()), &canary},
	} {
		key := client.ObjectKey{Namespace: names.Namespace, Name: wanted.name}
		err := wanted.reader.Get(ctx, key, wanted.into, client.UnsafeDisableDeepCopy)
		if err != nil && wanted.into != &canary {
			return "", fmt.Errorf("read %s %s: %w", wanted.kind, wanted.name, err)
		}
		versions[i] = fmt.Sprint(wanted.into.GetUID(), " ", wanted.into.GetResourceVersion())
		if err != nil && !apierrors.IsNotFound(err) {
			canaryError = fmt.Errorf("read %s %s: %w", wanted.kind, wanted.name, err)
			versions[i] = canaryError.Error()
		}
	}
	if versions == r.parsed.versions {
		return cookie.ResourceVersion, nil
	}
	credentials, err := parseCredentials(&cookie, &certificate, &distribution)
	if err != nil {
		return "", err
	}
	r.parsed = parsed{versions: versions, credentials: credentials, canaryError: canaryError}
	if canary.ResourceVersion != "" {
		r.parsed.credentials.Canary, r.parsed.canaryError = parseCanary(&canary, credentials.Trust)
	}
	return cookie.ResourceVersion, nil
}

func parseCredentials(cookie, certificate *corev1.Secret, distribution *corev1.ConfigMap) (verify.Credentials, error) {
	text := cookie.Data[naming.CookieKey]
	if err := naming.CheckCookie(text); err != nil {
		return verify.Credentials{}, fmt.Errorf("read the cookie in Secret %s: %w", cookie.Name, err)
	}
	credentials, err := verify.ParseCredentials(
		erldist.NewCookie(string(text)), certificate.Data[naming.CombinedKey], []byte(distribution.Data[naming.TrustKey]))
	if err != nil {
		return verify.Credentials{}, err
	}
	if former, changing := cookie.Data[naming.PreviousCookieKey]; changing {
		credentials.FormerCookie = erldist.NewCookie(string(former))
	}
	return credentials, nil
}

func parseCanary(secret *corev1.Secret, trust certs.Trust) (*verify.Canary, error) {
	return verify.ParseCanary(secret.Data[naming.CombinedKey], secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey], trust)
}

// members are the nodes that the spec asks for, in the order of their ordinals, and what is
// known of them by the previous report.
func members(cluster *v1alpha1.ErlangCluster, names naming.Names, previous *v1alpha1.MeshStatus, cookieVersion string, published sightings) []sweep.Member {
	replicas := cluster.Spec.DesiredReplicas()
	members := make([]sweep.Member, 0, replicas)
	for _, pod := range names.Pods(replicas) {
		member := sweep.Member{Target: target(cluster.Spec.Distribution, names.Node(pod)), StartingUntil: published.startingUntil(pod)}
		member.Runtime = cluster.Spec.Runtime
		if known := previous.Node(pod); known != nil && known.Refusals != nil {
			member.ProvenAt = uint32(known.Refusals.Incarnation)
		}
		if known := previous.Node(pod); known != nil && known.Verified() {
			member.FormerCookie = known.FormerCookie || previous.CookieVersion != cookieVersion
		}
		for _, stored := range cluster.Status.StoredCertificates {
			if stored.Pod == pod {
				member.Stored = stored.CertificateSerial
			}
		}
		members = append(members, member)
	}
	return members
}

func target(distribution v1alpha1.DistributionSpec, node string) verify.Target {
	ports := distribution.ListenPorts()
	target := verify.Target{Node: node, Network: distribution.Network()}
	if distribution.Discovery == v1alpha1.DiscoveryFixedPort {
		target.FixedPort = uint16(ports.Min)
	} else {
		target.Ports = verify.PortRange{Min: uint16(ports.Min), Max: uint16(ports.Max)}
	}
	return target
}
