package projection

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestALeaderIsBelievedWhileItHearsOfMost(t *testing.T) {
	lately, longAgo := time.Second, 5*time.Second
	for name, tt := range map[string]struct {
		replicas int
		active   []time.Duration // since each other server was heard of
		want     bool
	}{
		"alone":                       {1, nil, true},
		"of three, hears both":        {3, []time.Duration{lately, lately}, true},
		"of three, hears one":         {3, []time.Duration{lately, longAgo}, true},
		"of three, hears nobody":      {3, []time.Duration{longAgo, longAgo}, false},
		"of five, hears one":          {5, []time.Duration{lately, longAgo, longAgo, longAgo}, false},
		"of three, knows nobody else": {3, nil, false},
	} {
		info := &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: tt.replicas}, Cluster: &jetstream.ClusterInfo{Leader: "a"}}
		for _, active := range tt.active {
			info.Cluster.Replicas = append(info.Cluster.Replicas, &jetstream.PeerInfo{Active: active})
		}
		if got := leads(info); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
