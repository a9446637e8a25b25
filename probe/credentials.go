package probe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// credentialsReader reads what the probe shows to the nodes, and holds theirs
// against. Each is read where it is watched.
type credentialsReader struct {
	cookie, certificate, canary, distribution client.Reader
}

// credentials are what the nodes are held against, and which version of the cookie's
// Secret that is.
type credentials struct {
	verify.Credentials
	cookieVersion string
	// canaryError is why there is no canary, though there should be one. The nodes are
	// verified all the same.
	canaryError error
}

// read gives the credentials of now. An error says which of them is missing or bad.
func (r credentialsReader) read(ctx context.Context, names naming.Names) (credentials, error) {
	var cookie, certificate corev1.Secret
	var distribution corev1.ConfigMap
	for _, wanted := range []struct {
		reader client.Reader
		kind   string
		name   string
		into   client.Object
	}{
		{r.cookie, "Secret", names.CookieSecret(), &cookie},
		{r.certificate, "Secret", names.Certificate(names.Probe()), &certificate},
		{r.distribution, "ConfigMap", names.Distribution(), &distribution},
	} {
		key := client.ObjectKey{Namespace: names.Namespace, Name: wanted.name}
		if err := wanted.reader.Get(ctx, key, wanted.into); err != nil {
			return credentials{}, fmt.Errorf("read %s %s: %w", wanted.kind, wanted.name, err)
		}
	}
	text := cookie.Data[naming.CookieKey]
	if err := naming.CheckCookie(text); err != nil {
		return credentials{}, fmt.Errorf("read the cookie in Secret %s: %w", cookie.Name, err)
	}
	parsed, err := verify.ParseCredentials(
		erldist.NewCookie(string(text)), certificate.Data[naming.CombinedKey], []byte(distribution.Data[naming.TrustKey]))
	if err != nil {
		return credentials{}, err
	}
	if former, changing := cookie.Data[naming.PreviousCookieKey]; changing {
		parsed.FormerCookie = erldist.NewCookie(string(former))
	}
	parsed.Canary, err = r.readCanary(ctx, names, parsed.Trust)
	return credentials{parsed, cookie.ResourceVersion, err}, nil
}

// readCanary gives the canary; nil while there is none.
func (r credentialsReader) readCanary(ctx context.Context, names naming.Names, trust certs.Trust) (*verify.Canary, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: names.Namespace, Name: names.Certificate(names.Canary())}
	if err := r.canary.Get(ctx, key, &secret); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key.Name, err)
	}
	return verify.ParseCanary(secret.Data[naming.CombinedKey], secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey], trust)
}
