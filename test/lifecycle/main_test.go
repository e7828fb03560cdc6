// Package lifecycle starts and stops the program: before NATS is there, with what it
// cannot use, and at every moment of its start.
package lifecycle

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
