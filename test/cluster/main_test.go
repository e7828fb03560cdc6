// Package cluster runs the shop, its log and its views on three NATS servers, of
// which some are killed or frozen.
package cluster

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
