//go:build !certmanager1.18

package controllers

import (
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
)

// setRelease sets what the release that go.mod requires has: how long it waits after a
// request has failed, as by default.
func setRelease(options *controller.ContextOptions) {
	options.CertificateRequestMinimumBackoffDuration = time.Hour
	options.CertificateRequestMaximumBackoffDuration = 32 * time.Hour
}
