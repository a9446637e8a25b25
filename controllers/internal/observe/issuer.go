package observe

import (
	"context"
	"fmt"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// issuer reads the issuer that tls.issuerRef names. Of kinds that are not cert-manager's
// own, it reads only whether this Kubernetes has them.
func (o *Observer) issuer(ctx context.Context, observed *state.State) error {
	ref := observed.Cluster.Spec.TLS.IssuerRef
	if ref == nil {
		return nil
	}
	observed.Issuer = &state.Issuer{}
	switch {
	case ref.Group != certmanager.SchemeGroupVersion.Group:
		_, err := o.Cached.RESTMapper().RESTMapping(schema.GroupKind{Group: ref.Group, Kind: ref.Kind})
		if err != nil && !meta.IsNoMatchError(err) {
			return fmt.Errorf("look up kind %s.%s: %w", ref.Kind, ref.Group, err)
		}
		observed.Issuer.KindKnown, observed.Issuer.Found = err == nil, err == nil
		return nil
	case ref.Kind == certmanager.IssuerKind:
		return o.certManagerIssuer(ctx, observed, &certmanager.Issuer{}, types.NamespacedName{Namespace: observed.Names.Namespace, Name: ref.Name})
	case ref.Kind == certmanager.ClusterIssuerKind && !o.ClusterWide:
		// Its CertificateRequests tell whether it is there.
		observed.Issuer.KindKnown, observed.Issuer.Found = true, true
	case ref.Kind == certmanager.ClusterIssuerKind:
		return o.certManagerIssuer(ctx, observed, &certmanager.ClusterIssuer{}, types.NamespacedName{Name: ref.Name})
	}
	return nil
}

func (o *Observer) certManagerIssuer(ctx context.Context, observed *state.State, issuer certmanager.GenericIssuer, key types.NamespacedName) error {
	observed.Issuer.KindKnown = true
	err := o.Cached.Get(ctx, key, issuer)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get %T %s: %w", issuer, key, err)
	}
	observed.Issuer.Found = true
	for _, condition := range issuer.GetStatus().Conditions {
		if condition.Type == certmanager.IssuerConditionReady && condition.Status == certmanagermeta.ConditionFalse {
			observed.Issuer.Refuses = condition.Message
		}
	}
	return nil
}
