package follow

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/errs"
)

// limit bounds the clients of one kind. A client beyond the bound is rejected at once.
type limit struct {
	activity string // what its clients are doing, for errors
	max      int64
	current  atomic.Int64
	rejected prometheus.Counter
}

func newLimit(r prometheus.Registerer, namespace, name, activity string, bound int) (*limit, error) {
	l := &limit{activity: activity, max: int64(bound), rejected: prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: name + "_refused_total", Help: "Clients rejected because too many are " + activity + ".",
	})}
	current := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: "Clients that are " + activity + "."},
		func() float64 { return float64(l.current.Load()) })
	return l, errors.Join(r.Register(l.rejected), r.Register(current))
}

// acquire takes a place until release is called, once. The error has the code
// Unavailable.
func (l *limit) acquire() (release func(), err error) {
	if l.current.Add(1) > l.max {
		l.current.Add(-1)
		l.rejected.Inc()
		return nil, errs.New(errs.Unavailable, "too many clients are %s at this gateway; try again in a moment", l.activity)
	}
	return func() { l.current.Add(-1) }, nil
}
