package service_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lonja/kit/service"
)

func TestSupervise_StartsAServiceThatFailsAgainAndLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		began, weak, steady, stopped := time.Now(), 0, 0, 0
		ready, stop := service.Supervise(slog.New(slog.NewTextHandler(&log, nil)), map[string]service.Start{
			"steady": func(ctx context.Context, ready func()) error {
				steady++
				ready()
				<-ctx.Done()
				stopped++
				return nil
			},
			"weak": func(ctx context.Context, ready func()) error {
				if weak++; weak < 4 {
					return errors.New("too weak")
				}
				ready()
				<-ctx.Done()
				return nil
			},
		})
		<-ready
		if got, want := time.Since(began), (1+2+4)*time.Second; got != want {
			t.Errorf("ready after %s, want %s", got, want)
		}
		time.Sleep(time.Hour) // of the bubble's own clock
		if stopped != 0 {
			t.Error("a service has stopped by itself")
		}
		stop()
		if steady != 1 || weak != 4 || stopped != 1 {
			t.Errorf("steady was started %d times and stopped %d times, weak started %d times", steady, stopped, weak)
		}
		if got := strings.Count(log.String(), `service=weak in=`); got != 3 || strings.Contains(log.String(), "service=steady") {
			t.Errorf("it logs\n%s", &log)
		}
	})
}

func TestSupervise_IsNotReadyWhenItIsStoppedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, stop := service.Supervise(slog.New(slog.DiscardHandler), map[string]service.Start{
			"weak": func(context.Context, func()) error { return errors.New("too weak") },
		})
		time.Sleep(10 * time.Second)
		stop()
		select {
		case <-ready:
			t.Error("it says that it is ready")
		default:
		}
	})
}
