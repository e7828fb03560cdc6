// Package cluster runs the shop, its log and its views on three NATS servers, and
// kills and freezes some of them.
package cluster

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
