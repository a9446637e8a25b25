//go:build !certmanager1.18

package controllers

import (
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
)

// setBackoff sets how long cert-manager waits after a request has failed: the defaults of
// its controller program.
func setBackoff(options *controller.CertificateOptions) {
	options.CertificateRequestMinimumBackoffDuration = time.Hour
	options.CertificateRequestMaximumBackoffDuration = 32 * time.Hour
}
