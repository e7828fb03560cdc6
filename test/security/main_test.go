// Package security checks what each identity may do on NATS, what a stolen key
// allows, and how soon a revocation takes effect.
package security

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
