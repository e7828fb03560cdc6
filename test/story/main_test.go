// Package story uses the shop as its customers do: in one process, as separate
// services, with many clients that follow their orders, and as README.md describes.
package story

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
