# The output that barque reads, in the form of an inventory. An attribute that is null is left out. After `terraform apply`:
#     barque plan -i terraform:inventories/terraform/terraform.tfstate
#     terraform output -json > output.json && barque plan -i terraform:output.json
output "barque" {
  value = {
    cluster = "cloud"
    ssh     = { user = "admin", key = "~/.ssh/cloud" }
    masters = { for server in example_server.master : server.name => { address = server.ip, zone = server.zone, rack = server.rack } }
    workers = {
      for server in example_server.worker : server.name => {
        address = server.ip
        zone    = server.zone
        rack    = server.rack
        labels  = { "example.com/disk" = server.disk }
        ssh     = { address = server.public_ip }
      }
    }
  }
}
