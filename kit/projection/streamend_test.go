package projection

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestIsLeaderCurrent(t *testing.T) {
	recent, old := time.Second, 5*time.Second
	for name, tt := range map[string]struct {
		replicas int
		active   []time.Duration // since each other server was heard from
		want     bool
	}{
		"one server":                        {1, nil, true},
		"three servers, both others recent": {3, []time.Duration{recent, recent}, true},
		"three servers, one other recent":   {3, []time.Duration{recent, old}, true},
		"three servers, no other recent":    {3, []time.Duration{old, old}, false},
		"five servers, one other recent":    {5, []time.Duration{recent, old, old, old}, false},
		"three servers, no other known":     {3, nil, false},
	} {
		info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: tt.replicas}, Cluster: &jetstream.ClusterInfo{Leader: "a"}}
		for _, active := range tt.active {
			info.Cluster.Replicas = append(info.Cluster.Replicas, &jetstream.PeerInfo{Active: active})
		}
		if got := isLeaderCurrent(info); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
