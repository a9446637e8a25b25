package probe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// credentialsReader reads what the probe shows to the nodes, and holds theirs
// against. Each of the three is read where it is watched.
type credentialsReader struct {
	cookie, certificate, distribution client.Reader
}

// credentials are what the nodes are held against, and which version of the cookie's
// Secret that is.
type credentials struct {
	verify.Credentials
	cookieVersion string
}

// read gives the credentials of now. An error says which of them is missing or bad.
func (r credentialsReader) read(ctx context.Context, names certs.Names) (credentials, error) {
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
	text := cookie.Data[certs.CookieKey]
	if err := certs.CheckCookie(text); err != nil {
		return credentials{}, fmt.Errorf("read the cookie in Secret %s: %w", cookie.Name, err)
	}
	parsed, err := verify.ParseCredentials(
		erldist.NewCookie(string(text)), certificate.Data[certs.CombinedKey], []byte(distribution.Data[certs.TrustKey]))
	if err != nil {
		return credentials{}, err
	}
	if former, changing := cookie.Data[certs.PreviousCookieKey]; changing {
		parsed.FormerCookie = erldist.NewCookie(string(former))
	}
	return credentials{parsed, cookie.ResourceVersion}, nil
}
