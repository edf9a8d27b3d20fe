// Load puts one scenario on a server through the official SDK, and prints what it measured as one line of JSON.
//
//	load -address 127.0.0.1:7233 -server-pid 4711 -scenario one -in-flight 32 -workflows 1000
//
// The worker lives in this process; what the server costs is read from /proc/PID.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	tlog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	taskQueue = "bench"
	pollers   = 8
	timeout   = 10 * time.Minute

	rowLength = 50
	sideWidth = 500
)

// shape is a workflow to start, and how many activities each run of it has.
type shape struct {
	run        any
	activities int
}

func shapeOf(scenario string) shape {
	switch scenario {
	case "one":
		return shape{oneActivity, 1}
	case "row":
		return shape{activitiesInARow, rowLength}
	case "side":
		return shape{activitiesSideBySide, sideWidth}
	}
	log.Fatalf("no scenario %q", scenario)
	return shape{}
}

// result is what one scenario costs. Times are in milliseconds, memory in megabytes (10^6 bytes).
type result struct {
	Scenario     string  `json:"scenario"`
	InFlight     int     `json:"in_flight"`
	Workflows    int     `json:"workflows"`
	Activities   int     `json:"activities"`
	Failed       int     `json:"failed"`
	PerSecond    float64 `json:"per_second"`
	P50Ms        float64 `json:"p50_ms"`
	P99Ms        float64 `json:"p99_ms"`
	CPUMsPerFlow float64 `json:"cpu_ms_per_workflow"`
	ServerRSSMB  float64 `json:"server_rss_mb"`
	ServerPeakMB float64 `json:"server_peak_mb"`
}

func main() {
	address := flag.String("address", "127.0.0.1:7233", "host:port of the server")
	pid := flag.Int("server-pid", 0, "process whose CPU time and memory count")
	scenario := flag.String("scenario", "one", "one (activity), row (50 activities in a row) or side (500 side by side)")
	inFlight := flag.Int("in-flight", 1, "workflows at the same time")
	workflows := flag.Int("workflows", 100, "workflows to measure")
	warmUp := flag.Int("warm-up", 20, "workflows before that")
	flag.Parse()

	shape := shapeOf(*scenario)
	quiet := tlog.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	c, err := client.Dial(client.Options{HostPort: *address, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, taskQueue, worker.Options{
		MaxConcurrentWorkflowTaskPollers: pollers,
		MaxConcurrentActivityTaskPollers: pollers,
	})
	w.RegisterWorkflow(shape.run)
	w.RegisterActivity(echo)
	if err := w.Start(); err != nil {
		log.Fatal(err)
	}
	defer w.Stop()

	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	drive(ctx, c, shape.run, "warm-up", *warmUp, *inFlight)
	before, began := cpuTime(*pid), time.Now()
	latencies, failed := drive(ctx, c, shape.run, "bench", *workflows, *inFlight)
	took := time.Since(began)
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d of %d workflows failed\n", failed, *workflows)
	}
	json.NewEncoder(os.Stdout).Encode(result{
		Scenario:     *scenario,
		InFlight:     *inFlight,
		Workflows:    *workflows,
		Activities:   shape.activities,
		Failed:       failed,
		PerSecond:    float64(len(latencies)) / took.Seconds(),
		P50Ms:        quantile(latencies, 0.50),
		P99Ms:        quantile(latencies, 0.99),
		CPUMsPerFlow: milliseconds(cpuTime(*pid)-before) / float64(*workflows),
		ServerRSSMB:  memoryMB(*pid, "VmRSS"),
		ServerPeakMB: memoryMB(*pid, "VmHWM"),
	})
}

// drive runs count workflows, inFlight at a time, and returns how long each took from its start to its result.
func drive(ctx context.Context, c client.Client, run any, name string, count, inFlight int) ([]time.Duration, int) {
	var next, failed atomic.Int64
	var mutex sync.Mutex
	var group sync.WaitGroup
	latencies := make([]time.Duration, 0, count)
	for range inFlight {
		group.Go(func() {
			for number := next.Add(1); number <= int64(count); number = next.Add(1) {
				began := time.Now()
				err := runOne(ctx, c, run, fmt.Sprintf("%s-%d", name, number))
				took := time.Since(began)
				if err != nil {
					failed.Add(1)
					fmt.Fprintln(os.Stderr, err)
					continue
				}
				mutex.Lock()
				latencies = append(latencies, took)
				mutex.Unlock()
			}
		})
	}
	group.Wait()
	return latencies, int(failed.Load())
}

func runOne(ctx context.Context, c client.Client, run any, id string) error {
	handle, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, run)
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

func oneActivity(ctx workflow.Context) error {
	return activity(ctx).Get(ctx, nil)
}

func activitiesInARow(ctx workflow.Context) error {
	for range rowLength {
		if err := activity(ctx).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func activitiesSideBySide(ctx workflow.Context) error {
	futures := make([]workflow.Future, sideWidth)
	for i := range futures {
		futures[i] = activity(ctx)
	}
	for _, future := range futures {
		if err := future.Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func activity(ctx workflow.Context) workflow.Future {
	options := workflow.ActivityOptions{StartToCloseTimeout: time.Minute}
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), echo, "hello")
}

func echo(_ context.Context, text string) (string, error) {
	return text, nil
}

// quantile returns the value in milliseconds that the share q of the durations stays below.
func quantile(durations []time.Duration, q float64) float64 {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	return milliseconds(durations[min(len(durations)-1, int(q*float64(len(durations))))])
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
