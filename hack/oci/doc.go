// Package oci writes container images as OCI image layouts in a tar file, without Docker
// and without a registry. The same files give the same bytes.
package oci
