// Parses Kusto queries against the tables of workspaces. Standard input:
// {"workspaces": {name: {table: "(column: type, ...)"}}, "queries": {name: text}}
// Standard output, for each workspace and query: its problems and the columns of its result.
// Started by tools/kusto_parser.py, with the folder of the language service.
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const service = path.join(process.argv[2], "node_modules/@kusto/language-service-next");
for (const file of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  vm.runInThisContext(fs.readFileSync(path.join(service, file), "utf8"), { filename: file }); // scripts, not modules
}
const { GlobalState, KustoCode, Symbols } = Kusto.Language;

const listed = (found) => Array.from({ length: found.Count }, (_, at) => found.getItem(at));

const given = JSON.parse(fs.readFileSync(0, "utf8"));
const parsed = {};
for (const [workspace, tables] of Object.entries(given.workspaces)) {
  const symbols = Object.entries(tables).map(([name, columns]) => Symbols.TableSymbol.From(columns).WithName(name));
  const known = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor(workspace, symbols, false));
  parsed[workspace] = {};
  for (const [name, text] of Object.entries(given.queries)) {
    const code = KustoCode.ParseAndAnalyze(text, known);
    const columns = code.ResultType && code.ResultType.Columns;
    parsed[workspace][name] = {
      problems: listed(code.GetDiagnostics()).map((one) => `${one.Severity}: ${one.Message}`),
      columns: columns ? Object.fromEntries(listed(columns).map((one) => [one.Name, one.Type.Name])) : {},
    };
  }
}
process.stdout.write(JSON.stringify(parsed));
