// Package story runs the shop as its customers see it: in one process, as services
// apart, with many who follow their orders, and as README.md tells it.
package story

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
