// The programs of the Go SDK: scenarios that run on any server and tell as JSON what came of them.
//
//	parity -address HOST:PORT -token TOKEN [-list] [NAME ...]
//
// One line a scenario: {"scenario", "result", "runs": [[workflow id, run id], ...]}. Names end in "-TOKEN", so that what two
// servers answer can be compared once that is taken off. With -dev-server PATH, that program is started as the SDK's
// test environment starts the official dev server, and the scenarios run there.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/testsuite"
)

const (
	atOnce        = 4
	scenarioLimit = 60 * time.Second
)

// A scenario drives the server through the session, and notes what it sees.
type scenario func(s *session) error

var (
	scenarios = map[string]scenario{}
	// Scenarios that touch what the whole process shares: they run by themselves.
	alone = map[string]bool{}
)

type line struct {
	Scenario string         `json:"scenario"`
	Result   map[string]any `json:"result"`
	Runs     [][2]string    `json:"runs"`
	Broken   string         `json:"broken,omitempty"`
}

func main() {
	address := flag.String("address", "127.0.0.1:7233", "of the server")
	token := flag.String("token", "x", "ends all names of this run")
	list := flag.Bool("list", false, "list the scenarios")
	devServer := flag.String("dev-server", "", "a program to start as dev server, instead of -address")
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		for name := range scenarios {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if *list {
		for _, name := range names {
			fmt.Println(name)
		}
		return
	}
	connection, stop, err := connect(*address, *devServer)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	defer stop()
	runAll(connection, *token, names)
}

func connect(address, devServer string) (client.Client, func(), error) {
	options := client.Options{HostPort: address, Identity: "parity", Logger: silence{}}
	if devServer == "" {
		connection, err := client.Dial(options)
		if err != nil {
			return nil, nil, err
		}
		return connection, connection.Close, nil
	}
	options.HostPort = ""
	server, err := testsuite.StartDevServer(context.Background(), testsuite.DevServerOptions{
		ExistingPath:  devServer,
		ClientOptions: &options,
		Stdout:        os.Stderr,
		ExtraArgs:     []string{"--search-attribute", "ConfKeyword=Keyword", "--search-attribute", "ConfInt=Int"},
	})
	if err != nil {
		return nil, nil, err
	}
	return server.Client(), func() { _ = server.Stop() }, nil
}

func runAll(connection client.Client, token string, names []string) {
	var group sync.WaitGroup
	var printing sync.Mutex
	places := make(chan struct{}, atOnce)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	runOne := func(name string) {
		result := run(connection, token, name)
		printing.Lock()
		defer printing.Unlock()
		_ = out.Encode(result)
	}
	for _, name := range names {
		if alone[name] {
			continue
		}
		group.Add(1)
		go func() {
			defer group.Done()
			places <- struct{}{}
			defer func() { <-places }()
			runOne(name)
		}()
	}
	group.Wait()
	for _, name := range slices.Compact(names) {
		if alone[name] {
			runOne(name)
		}
	}
}

func run(connection client.Client, token, name string) (result line) {
	ctx, cancel := context.WithTimeout(context.Background(), scenarioLimit)
	defer cancel()
	s := newSession(ctx, connection, name, token)
	defer func() {
		if problem := recover(); problem != nil {
			result.Broken = fmt.Sprint(problem)
		}
		s.stopWorkers()
		result.Scenario, result.Result, result.Runs = name, s.result, s.runs
	}()
	known := scenarios[name]
	if known == nil {
		result.Broken = "there is no such scenario"
		return
	}
	if err := known(s); err != nil {
		result.Broken = err.Error()
	}
	return
}
