// Package lifecycle starts and stops the program: without NATS, with resources that
// it cannot use, and at every stage of its start.
package lifecycle

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
