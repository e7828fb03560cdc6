// Package security checks what each identity may do on NATS, what a stolen key is
// good for, and how soon rights end that were taken back.
package security

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
