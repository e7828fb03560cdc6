package natsembed

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// BenchmarkAppend measures appends that are on the disk, by several callers at once.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		for _, c := range []Config{{SyncAlways: true}, {SyncGroup: true}} {
			b.Run(fmt.Sprintf("callers=%d/group=%v", callers, c.SyncGroup), func(b *testing.B) {
				c.Dir, c.Addr = filepath.Join(b.TempDir(), "nats"), "127.0.0.1:0"
				s, err := Start(c)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Stop()
				nc, err := nats.Connect("", nats.InProcessServer(s))
				if err != nil {
					b.Fatal(err)
				}
				defer nc.Close()
				js, err := jetstream.New(nc)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
					b.Fatal(err)
				}
				body := make([]byte, 600)
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ResetTimer()
				var all sync.WaitGroup
				for caller := range callers {
					all.Go(func() {
						subject := fmt.Sprint("s.", caller)
						for left.Add(-1) >= 0 {
							ack, err := js.Publish(b.Context(), subject, body)
							if err == nil {
								err = s.Synced(b.Context(), "S", ack.Sequence)
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			})
		}
	}
}
