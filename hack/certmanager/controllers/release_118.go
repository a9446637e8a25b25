//go:build certmanager1.18

package controllers

import (
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/metrics"
	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// setRelease sets what cert-manager 1.18 has no defaults for.
func setRelease(options *controller.ContextOptions) {
	options.Clock = clock.RealClock{}
	options.Metrics = metrics.New(logr.Discard(), options.Clock)
}
