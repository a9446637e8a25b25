//go:build certmanager1.18

package controllers

import "github.com/cert-manager/cert-manager/pkg/controller"

// setBackoff does nothing: the backoff of cert-manager 1.18 is fixed.
func setBackoff(*controller.CertificateOptions) {}
